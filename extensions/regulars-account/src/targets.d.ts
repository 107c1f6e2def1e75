// The components and the interface of the places we stand in.
import "@shopify/ui-extensions/customer-account.order-status.block.render";
import "@shopify/ui-extensions/customer-account.profile.block.render";
import "@shopify/ui-extensions/customer-account.page.render";
