"""The pretend shop's records as the Admin GraphQL API names their fields."""

from integration.clock import to_datetime
from integration.sandbox.graph import Node, connection
from integration.sandbox.shopify import Shop
from integration.sandbox.shopify_bodies import Money, amount
from integration.sandbox.shopify_records import Address, Customer, Dispute, Fulfillment, Line, Order, Refund

_FULFILMENT_WORDS = {None: "UNFULFILLED", "partial": "PARTIALLY_FULFILLED", "fulfilled": "FULFILLED"}


def order_node(order: Order, shop: Shop) -> Node:
    """One order with its lines, refunds, parcels and transactions."""
    money = Money(order)
    bag = _Bags(money)
    address = _address(order.address)
    refunded = order.refunded_minor
    return {
        "__typename": "Order",
        "id": f"gid://shopify/Order/{order.id}",
        "legacyResourceId": str(order.id),
        "name": f"#{order.number}",
        "number": order.number,
        "test": order.test,
        "confirmed": True,
        "createdAt": _time(order.created_at),
        "updatedAt": _time(order.updated_at),
        "processedAt": _time(order.processed_at),
        "cancelledAt": _time(order.cancelled_at),
        "cancelReason": order.cancel_reason.upper() if order.cancel_reason else None,
        "closed": order.closed_at is not None,
        "closedAt": _time(order.closed_at),
        "displayFinancialStatus": order.financial_status.upper(),
        "displayFulfillmentStatus": _FULFILMENT_WORDS[order.fulfillment_status],
        "fullyPaid": not order.outstanding_minor,
        "unpaid": not order.received_minor,
        "sourceName": order.source_name,
        "currencyCode": order.currency,
        "presentmentCurrencyCode": order.presentment[0] if order.presentment else order.currency,
        "taxesIncluded": order.taxes_included,
        "subtotalPriceSet": bag(order.subtotal_minor),
        "totalPriceSet": bag(order.total_minor),
        "originalTotalPriceSet": bag(order.total_minor),
        "currentSubtotalPriceSet": bag(order.current_subtotal_minor),
        "currentTotalPriceSet": bag(order.current_total_minor),
        "currentTotalTaxSet": bag(order.current_tax_minor),
        "totalTaxSet": bag(order.tax_minor),
        "totalDiscountsSet": bag(sum(line.discount_minor for line in order.lines)),
        "totalShippingPriceSet": bag(order.shipping_minor),
        "totalRefundedShippingSet": bag(sum(refund.shipping_minor for refund in order.refunds)),
        "totalRefundedSet": bag(refunded),
        "refundDiscrepancySet": bag(sum(refund.discrepancy_minor for refund in order.refunds)),
        "totalReceivedSet": bag(order.received_minor),
        "totalOutstandingSet": bag(order.outstanding_minor),
        "totalTipReceivedSet": bag(order.tip_minor),
        "totalTipReceived": bag(order.tip_minor)["shopMoney"],
        "netPaymentSet": bag(order.received_minor - refunded),
        "originalTotalDutiesSet": bag(order.duties_minor) if order.duties_minor else None,
        "currentTotalDutiesSet": bag(order.duties_minor) if order.duties_minor else None,
        "discountCode": order.discount_code,
        "discountCodes": [order.discount_code] if order.discount_code else [],
        "tags": list(order.tags),
        "note": None,
        "email": order.email,
        "phone": None,
        "customerLocale": order.locale,
        "customAttributes": [{"key": k, "value": v} for k, v in order.note_attributes.items()],
        "paymentGatewayNames": [order.gateway],
        "statusPageUrl": f"https://{shop.domain}/{shop.id}/orders/{order.token}/authenticate",
        "requiresShipping": any(line.product.requires_shipping for line in order.goods),
        "shippingAddress": address,
        "billingAddress": address,
        "displayAddress": address,
        # Made only where it is asked for: a list of orders asks for little of each.
        "customer": lambda: customer_node(order.customer, shop) if order.customer else None,
        "lineItems": lambda **asked: connection([_line(line, order, bag) for line in order.lines])(**asked),
        "shippingLines": connection([_shipping(order, bag)] if order.shipping_minor else []),
        "shippingLine": _shipping(order, bag) if order.shipping_minor else None,
        "taxLines": _taxes(order.tax_minor, order, bag),
        "refunds": lambda **_: [refund_node(refund, order) for refund in order.refunds],
        "fulfillments": lambda **_: [_parcel(parcel, order, bag) for parcel in order.fulfillments],
        "transactions": lambda **_: _transactions(order, bag),
        "disputes": lambda: [
            {
                "id": f"gid://shopify/OrderDispute/{each.id}",
                "initiatedAs": "CHARGEBACK",
                "status": each.status.upper(),
            }
            for each in shop.disputes.values()
            if each.order_id == order.id
        ],
    }


def dispute_node(dispute: Dispute, shop: Shop) -> Node:
    """One dispute as Shopify Payments tells it."""
    order = shop.orders.get(dispute.order_id)
    return {
        "__typename": "ShopifyPaymentsDispute",
        "id": f"gid://shopify/ShopifyPaymentsDispute/{dispute.id}",
        "legacyResourceId": str(dispute.id),
        "type": "CHARGEBACK",
        "status": dispute.status.upper(),
        "initiatedAt": _time(dispute.initiated_at),
        "finalizedOn": _time(dispute.finalized_at),
        "amount": {"amount": amount(dispute.amount_minor, shop.currency), "currencyCode": shop.currency},
        "order": order_node(order, shop) if order else None,
    }


def customer_node(customer: Customer, shop: Shop) -> Node:
    """One person's record."""
    orders = [order for order in shop.orders.values() if order.customer is customer]
    address = _address(customer.address)
    reached = {
        "emailAddress": customer.email,
        "marketingState": customer.email_consent.upper(),
        "marketingOptInLevel": None,
        "marketingUpdatedAt": _time(customer.consent_at),
    }
    return {
        "__typename": "Customer",
        "id": f"gid://shopify/Customer/{customer.id}",
        "legacyResourceId": str(customer.id),
        "firstName": customer.first_name,
        "lastName": customer.last_name,
        "displayName": f"{customer.first_name} {customer.last_name}",
        "email": customer.email,
        "phone": customer.phone,
        "defaultEmailAddress": reached if customer.email else None,
        "defaultPhoneNumber": {"phoneNumber": customer.phone} if customer.phone else None,
        "verifiedEmail": customer.verified_email,
        "locale": customer.locale,
        "state": "DISABLED",
        "tags": [],
        "createdAt": _time(customer.created_at),
        "updatedAt": _time(customer.updated_at),
        "numberOfOrders": str(len(orders)),
        "amountSpent": {
            "amount": amount(sum(order.received_minor for order in orders), shop.currency),
            "currencyCode": shop.currency,
        },
        "defaultAddress": address,
        "addresses": [address] if address else [],
        "emailMarketingConsent": {
            "marketingState": customer.email_consent.upper(),
            "consentUpdatedAt": _time(customer.consent_at),
        },
        "smsMarketingConsent": {
            "marketingState": customer.sms_consent.upper(),
            "consentUpdatedAt": _time(customer.consent_at),
        },
    }


def shop_node(shop: Shop) -> Node:
    """The shop's own record."""
    return {
        "__typename": "Shop",
        "id": f"gid://shopify/Shop/{shop.id}",
        "name": shop.name,
        "myshopifyDomain": shop.domain,
        "email": shop.email,
        "contactEmail": shop.email,
        "shopOwnerName": "Robin Marlow",
        "currencyCode": shop.currency,
        "ianaTimezone": shop.timezone,
        "createdAt": _time(0),
        "updatedAt": _time(shop.clock()),
        "url": f"https://{shop.domain}",
        "primaryDomain": {"host": shop.domain, "url": f"https://{shop.domain}"},
        "plan": {"publicDisplayName": "Basic", "partnerDevelopment": False, "shopifyPlus": False},
        "customerAccountsV2": {
            "customerAccountsVersion": "NEW_CUSTOMER_ACCOUNTS",
            "loginRequiredAtCheckout": False,
            "url": f"https://{shop.domain}/account",
        },
        "enabledPresentmentCurrencies": [shop.currency],
        "taxesIncluded": shop.taxes_included,
        "billingAddress": {"countryCodeV2": shop.country_code, "countryCode": shop.country_code},
        "shopAddress": {"countryCodeV2": shop.country_code, "countryCode": shop.country_code},
    }


class _Bags:
    """Writes minor units as a MoneyBag."""

    def __init__(self, money: Money) -> None:
        self._money = money

    def __call__(self, minor: int) -> Node:
        both = self._money.both(minor)
        return {
            name: {"amount": both[old]["amount"], "currencyCode": both[old]["currency_code"]}
            for name, old in (("shopMoney", "shop_money"), ("presentmentMoney", "presentment_money"))
        }


def _line(line: Line, order: Order, bag: _Bags) -> Node:
    product = line.product
    left = line.current_quantity - line.shipped
    each = (line.gross_minor - line.discount_minor) // line.quantity if line.quantity else 0
    return {
        "__typename": "LineItem",
        "id": f"gid://shopify/LineItem/{line.id}",
        "name": product.title,
        "title": product.title,
        "sku": product.sku,
        "vendor": product.vendor,
        "quantity": line.quantity,
        "currentQuantity": line.current_quantity,
        "refundableQuantity": line.current_quantity,
        "unfulfilledQuantity": max(0, left),
        "fulfillableQuantity": max(0, left),
        "isGiftCard": product.gift_card,
        "requiresShipping": product.requires_shipping,
        "taxable": product.taxable,
        "originalUnitPriceSet": bag(product.price_minor),
        "originalTotalSet": bag(line.gross_minor),
        "discountedUnitPriceSet": bag(product.price_minor),
        "discountedUnitPriceAfterAllDiscountsSet": bag(each),
        "discountedTotalSet": bag(line.gross_minor),
        "totalDiscountSet": bag(line.discount_minor),
        "discountAllocations": [{"allocatedAmountSet": bag(line.discount_minor)}] if line.discount_minor else [],
        "taxLines": _taxes(line.tax_minor, order, bag),
        "duties": [],
        "customAttributes": [],
        "product": None
        if line.tip
        else {
            "id": f"gid://shopify/Product/{product.id}",
            "legacyResourceId": str(product.id),
            "title": product.title,
        },
        "variant": None
        if line.tip
        else {
            "id": f"gid://shopify/ProductVariant/{product.variant_id}",
            "legacyResourceId": str(product.variant_id),
        },
    }


def _taxes(tax_minor: int, order: Order, bag: _Bags) -> list[Node]:
    if not tax_minor:
        return []
    return [{"title": "Tax", "rate": float(order.tax_rate), "priceSet": bag(tax_minor), "channelLiable": False}]


def _shipping(order: Order, bag: _Bags) -> Node:
    return {
        "id": f"gid://shopify/ShippingLine/{order.shipping_line_id}",
        "title": "Standard",
        "code": "Standard",
        "isRemoved": False,
        "originalPriceSet": bag(order.shipping_minor),
        "discountedPriceSet": bag(order.shipping_minor),
        "currentDiscountedPriceSet": bag(order.shipping_minor),
        "taxLines": _taxes(order.shipping_tax_minor, order, bag),
        "discountAllocations": [],
    }


def refund_node(refund: Refund, order: Order) -> Node:
    """One refund with its lines, adjustments and transactions."""
    bag = _Bags(Money(order))
    adjustments = []
    if refund.discrepancy_minor:
        reason = "PENDING_REFUND_DISCREPANCY" if refund.status == "pending" else "REFUND_DISCREPANCY"
        adjustments.append(
            {
                "id": f"gid://shopify/OrderAdjustment/{refund.discrepancy_id}",
                "reason": reason,
                "amountSet": bag(refund.discrepancy_minor),
                "taxAmountSet": bag(0),
            }
        )
    shipping = [
        {
            "id": f"gid://shopify/RefundShippingLine/{refund.shipping_id}",
            "subtotalAmountSet": bag(refund.shipping_minor),
            "taxAmountSet": bag(0),
            "shippingLine": _shipping(order, bag),
        }
    ]
    return {
        "__typename": "Refund",
        "id": f"gid://shopify/Refund/{refund.id}",
        "legacyResourceId": str(refund.id),
        "createdAt": _time(refund.created_at),
        "updatedAt": _time(order.updated_at),
        "processedAt": _time(refund.created_at),
        "note": refund.note,
        "totalRefundedSet": bag(refund.amount_minor if refund.status == "success" else 0),
        "orderAdjustments": connection(adjustments),
        "refundLineItems": connection(
            [
                {
                    "id": f"gid://shopify/RefundLineItem/{each.id}",
                    "quantity": each.quantity,
                    "restocked": each.restock,
                    "restockType": "RETURN" if each.restock else "NO_RESTOCK",
                    "priceSet": bag(each.line.product.price_minor),
                    "subtotalSet": bag(each.subtotal_minor),
                    "totalTaxSet": bag(each.tax_minor),
                    "lineItem": _line(each.line, order, bag),
                }
                for each in refund.lines
            ]
        ),
        "refundShippingLines": connection(shipping if refund.shipping_minor else []),
        "transactions": connection([_refund_transaction(refund, order, bag)] if refund.amount_minor else []),
    }


def _refund_transaction(refund: Refund, order: Order, bag: _Bags) -> Node:
    return {
        "id": f"gid://shopify/OrderTransaction/{refund.transaction_id}",
        "kind": "REFUND",
        "status": refund.status.upper(),
        "test": order.test,
        "gateway": refund.gateway,
        "createdAt": _time(refund.created_at),
        "processedAt": _time(refund.created_at),
        "amountSet": bag(refund.amount_minor),
        "parentTransaction": None,
        "paymentId": None,
    }


def _transactions(order: Order, bag: _Bags) -> list[Node]:
    paid = {
        "id": f"gid://shopify/OrderTransaction/{order.id + 1}",
        "kind": "SALE",
        "status": "SUCCESS",
        "test": order.test,
        "gateway": order.gateway,
        "createdAt": _time(order.processed_at),
        "processedAt": _time(order.processed_at),
        "amountSet": bag(order.received_minor),
        "parentTransaction": None,
        "paymentId": order.token[:12],
    }
    refunds = [_refund_transaction(refund, order, bag) for refund in order.refunds if refund.amount_minor]
    return ([paid] if order.received_minor else []) + refunds


def _parcel(parcel: Fulfillment, order: Order, bag: _Bags) -> Node:
    arrived = parcel.shipment_status == "delivered"
    lines = [
        {
            "id": f"{parcel.id}-{line.id}",
            "quantity": parcel.quantities[line.id],
            "lineItem": _line(line, order, bag),
        }
        for line in order.lines
        if line.id in parcel.quantities
    ]
    events = []
    if parcel.shipment_status:
        events.append(
            {
                "id": f"gid://shopify/FulfillmentEvent/{parcel.id + 1}",
                "status": parcel.shipment_status.upper(),
                "happenedAt": _time(parcel.updated_at),
                "message": None,
            }
        )
    return {
        "__typename": "Fulfillment",
        "id": f"gid://shopify/Fulfillment/{parcel.id}",
        "legacyResourceId": str(parcel.id),
        "name": f"#{order.number}.{parcel.number}",
        "status": parcel.status.upper(),
        "displayStatus": (parcel.shipment_status or "fulfilled").upper(),
        "createdAt": _time(parcel.created_at),
        "updatedAt": _time(parcel.updated_at),
        "deliveredAt": _time(parcel.updated_at) if arrived else None,
        "inTransitAt": None,
        "estimatedDeliveryAt": None,
        "totalQuantity": sum(parcel.quantities.values()),
        "trackingInfo": [{"company": parcel.carrier, "number": parcel.tracking, "url": None}],
        "events": connection(events),
        "fulfillmentLineItems": connection(lines),
    }


def _address(address: Address | None) -> Node | None:
    if address is None:
        return None
    return {
        "firstName": address.first_name,
        "lastName": address.last_name,
        "name": f"{address.first_name} {address.last_name}",
        "address1": address.street,
        "address2": None,
        "city": address.city,
        "company": None,
        "country": address.country,
        "countryCode": address.country_code,
        "countryCodeV2": address.country_code,
        "phone": None,
        "province": address.province,
        "provinceCode": address.province_code,
        "zip": address.zip,
    }


def _time(instant: int | None) -> str | None:
    return None if instant is None else f"{to_datetime(instant):%Y-%m-%dT%H:%M:%S}Z"
