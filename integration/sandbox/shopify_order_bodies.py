"""Webhook bodies of the pretend shop's orders, refunds and parcels, field by field in Shopify's shapes."""

from collections.abc import Callable
from datetime import tzinfo

from integration.sandbox.shopify_bodies import Body, Money, address_body, person, shop_time
from integration.sandbox.shopify_records import Fulfillment, Line, Order, Refund, RefundedLine


def order_body(order: Order, zone: tzinfo, domain: str, shop_id: int) -> Body:
    """The whole order, as every orders/… topic but edited and delete carries it (about 6 KB)."""
    money = Money(order)
    both, text = money.both, money.text
    none = both(0)
    discounts = sum(line.discount_minor for line in order.lines)
    left = sum(line.discount_minor - _taken(line) for line in order.lines)
    gid = f"gid://shopify/Order/{order.id}"
    return {
        "id": order.id,
        "admin_graphql_api_id": gid,
        "app_id": 580111,
        "browser_ip": None,
        "buyer_accepts_marketing": bool(order.customer and order.customer.email_consent == "subscribed"),
        "cancel_reason": order.cancel_reason,
        "cancelled_at": shop_time(order.cancelled_at, zone),
        "cart_token": None,
        "checkout_token": order.token,
        "client_details": None,
        "closed_at": shop_time(order.closed_at, zone),
        "confirmation_number": order.token[:9].upper(),
        "confirmed": True,
        "contact_email": order.email,
        "created_at": shop_time(order.created_at, zone),
        "currency": order.currency,
        "current_shipping_price_set": both(
            order.shipping_minor - sum(refund.shipping_minor for refund in order.refunds)
        ),
        "current_subtotal_price": text(order.current_subtotal_minor),
        "current_subtotal_price_set": both(order.current_subtotal_minor),
        "current_total_additional_fees_set": None,
        "current_total_discounts": text(left),
        "current_total_discounts_set": both(left),
        "current_total_duties_set": both(order.duties_minor) if order.duties_minor else None,
        "current_total_price": text(order.current_total_minor),
        "current_total_price_set": both(order.current_total_minor),
        "current_total_tax": text(order.current_tax_minor),
        "current_total_tax_set": both(order.current_tax_minor),
        "customer_locale": order.locale,
        "device_id": None,
        "discount_applications": _applications(order, text),
        "discount_codes": _codes(order, discounts, text),
        "duties_included": False,
        "email": order.email,
        "estimated_taxes": False,
        "financial_status": order.financial_status,
        "fulfillment_status": order.fulfillment_status,
        "landing_site": "/",
        "landing_site_ref": None,
        "location_id": None,
        "merchant_of_record_app_id": None,
        "name": f"#{order.number}",
        "note": None,
        "note_attributes": [{"name": name, "value": value} for name, value in order.note_attributes.items()],
        "number": order.number - 1000,
        "order_number": order.number,
        "order_status_url": f"https://{domain}/{shop_id}/orders/{order.token}/authenticate?key={order.token[:8]}",
        "original_total_additional_fees_set": None,
        "original_total_duties_set": both(order.duties_minor) if order.duties_minor else None,
        "payment_gateway_names": [order.gateway],
        "phone": None,
        "po_number": None,
        "presentment_currency": order.presentment[0] if order.presentment else order.currency,
        "processed_at": shop_time(order.processed_at, zone),
        "reference": None,
        "referring_site": None,
        "source_identifier": None,
        "source_name": order.source_name,
        "source_url": None,
        "subtotal_price": text(order.subtotal_minor),
        "subtotal_price_set": both(order.subtotal_minor),
        "tags": ", ".join(order.tags),
        "tax_exempt": False,
        "tax_lines": _tax_lines(order.tax_minor, order, money),
        "taxes_included": order.taxes_included,
        "test": order.test,
        "token": order.token,
        "total_cash_rounding_payment_adjustment_set": none,
        "total_cash_rounding_refund_adjustment_set": none,
        "total_discounts": text(discounts),
        "total_discounts_set": both(discounts),
        "total_line_items_price": text(sum(line.gross_minor for line in order.goods)),
        "total_line_items_price_set": both(sum(line.gross_minor for line in order.goods)),
        "total_outstanding": text(order.outstanding_minor),
        "total_price": text(order.total_minor),
        "total_price_set": both(order.total_minor),
        "total_shipping_price_set": both(order.shipping_minor),
        "total_tax": text(order.tax_minor),
        "total_tax_set": both(order.tax_minor),
        "total_tip_received": text(order.tip_minor),
        "total_weight": sum(line.product.grams * line.quantity for line in order.goods),
        "updated_at": shop_time(order.updated_at, zone),
        "user_id": None,
        "billing_address": address_body(order.address),
        "customer": person(order.customer, order.currency) if order.customer else None,
        "fulfillments": [fulfillment_body(parcel, order, zone) for parcel in order.fulfillments],
        "line_items": [_line(line, order, money) for line in order.lines],
        "payment_terms": None,
        "refunds": [refund_body(refund, order, zone) for refund in order.refunds],
        "returns": [],
        "line_item_groups": [],
        "shipping_address": address_body(order.address),
        "shipping_lines": _shipping_lines(order, money),
    }


def refund_body(refund: Refund, order: Order, zone: tzinfo) -> Body:
    """One refund, as refunds/create carries it and as it stands inside its order."""
    money = Money(order)
    return {
        "id": refund.id,
        "admin_graphql_api_id": f"gid://shopify/Refund/{refund.id}",
        "created_at": shop_time(refund.created_at, zone),
        "duties": [],
        "note": refund.note,
        "order_adjustments": _adjustments(refund, order, money),
        "order_id": order.id,
        "processed_at": shop_time(refund.created_at, zone),
        "refund_line_items": [_refund_line(entry, order, money) for entry in refund.lines],
        "refund_shipping_lines": [],
        "restock": any(entry.restock for entry in refund.lines),
        "return": None,
        "transactions": [_transaction(refund, order, money, zone)] if refund.amount_minor else [],
        "user_id": None,
    }


def fulfillment_body(parcel: Fulfillment, order: Order, zone: tzinfo) -> Body:
    """One parcel, as fulfillments/create and update carry it and as it stands inside its order."""
    money = Money(order)
    url = f"https://www.ups.com/track?trackNums={parcel.tracking}"
    return {
        "id": parcel.id,
        "admin_graphql_api_id": f"gid://shopify/Fulfillment/{parcel.id}",
        "created_at": shop_time(parcel.created_at, zone),
        "destination": address_body(order.address),
        "email": order.email,
        "line_items": [
            _line(line, order, money) | {"quantity": parcel.quantities[line.id]}
            for line in order.lines
            if line.id in parcel.quantities
        ],
        "location_id": None,
        "name": f"#{order.number}.{parcel.number}",
        "order_id": order.id,
        "origin_address": None,
        "receipt": {},
        "service": "manual",
        "shipment_status": parcel.shipment_status,
        "status": parcel.status,
        "tracking_company": parcel.carrier,
        "tracking_number": parcel.tracking,
        "tracking_numbers": [parcel.tracking],
        "tracking_url": url,
        "tracking_urls": [url],
        "updated_at": shop_time(parcel.updated_at, zone),
    }


def _line(line: Line, order: Order, money: Money) -> Body:
    product = line.product
    price = money.both(product.price_minor)
    discount = money.both(line.discount_minor)
    body = {
        "id": line.id,
        "admin_graphql_api_id": f"gid://shopify/LineItem/{line.id}",
        "current_quantity": line.current_quantity,
        "discount_allocations": [
            {
                "amount": money.text(line.discount_minor),
                "amount_set": discount,
                "discount_application_index": 0,
            }
        ]
        if line.discount_minor
        else [],
        "duties": [],
        "fulfillable_quantity": max(0, line.current_quantity - line.shipped),
        "fulfillment_service": "manual",
        "fulfillment_status": "fulfilled" if line.shipped >= line.quantity else None,
        "gift_card": product.gift_card,
        "grams": product.grams,
        "name": product.title,
        "price": money.text(product.price_minor),
        "price_set": price,
        "product_exists": not line.tip,
        "product_id": None if line.tip else product.id,
        "properties": [],
        "quantity": line.quantity,
        "requires_shipping": product.requires_shipping,
        "sku": product.sku,
        "tax_lines": _tax_lines(line.tax_minor, order, money),
        "taxable": product.taxable,
        "title": product.title,
        # Allocations of codes over several lines are not part of a line's own discount.
        "total_discount": money.text(0),
        "total_discount_set": money.both(0),
        "variant_id": None if line.tip else product.variant_id,
        "variant_inventory_management": None,
        "variant_title": None,
        "vendor": product.vendor,
    }
    if line.tip:
        body |= {"tip_payment_gateway": order.gateway, "tip_payment_method": "card"}
    if order.duties_minor and line is order.lines[0]:
        body["duties"] = [
            {
                "id": str(line.id),
                "country_code_of_origin": "GB",
                "harmonized_system_code": "090230",
                "tax_lines": [],
            }
            | money.both(order.duties_minor)
        ]
    return body


def _taken(line: Line) -> int:
    """The part of a line's discount that refunds and edits have taken with them."""
    return line.discount_minor - (
        line.product.price_minor * line.current_quantity - line.net_minor(line.current_quantity)
    )


def _tax_lines(tax_minor: int, order: Order, money: Money) -> list[Body]:
    if not tax_minor:
        return []
    return [
        {
            "channel_liable": False,
            "price": money.text(tax_minor),
            "price_set": money.both(tax_minor),
            "rate": float(order.tax_rate),
            "title": "VAT" if order.taxes_included else "State Tax",
        }
    ]


def _applications(order: Order, text: Callable[[int], str]) -> list[Body]:
    if not order.discount_code:
        return []
    return [
        {
            "allocation_method": "across",
            "code": order.discount_code,
            "target_selection": "all",
            "target_type": "line_item",
            "type": "discount_code",
            "value": text(sum(line.discount_minor for line in order.lines)),
            "value_type": "fixed_amount",
        }
    ]


def _codes(order: Order, discounts: int, text: Callable[[int], str]) -> list[Body]:
    if not order.discount_code:
        return []
    return [{"amount": text(discounts), "code": order.discount_code, "type": "fixed_amount"}]


def _shipping_lines(order: Order, money: Money) -> list[Body]:
    if not any(line.product.requires_shipping for line in order.goods):
        return []
    price = money.both(order.shipping_minor)
    return [
        {
            "id": order.shipping_line_id,
            "carrier_identifier": None,
            "code": "Standard",
            "current_discounted_price_set": price,
            "discount_allocations": [],
            "discounted_price": money.text(order.shipping_minor),
            "discounted_price_set": price,
            "is_removed": False,
            "phone": None,
            "price": money.text(order.shipping_minor),
            "price_set": price,
            "requested_fulfillment_service_id": None,
            "source": "shopify",
            "tax_lines": _tax_lines(order.shipping_tax_minor, order, money),
            "title": "Standard",
        }
    ]


def _refund_line(entry: RefundedLine, order: Order, money: Money) -> Body:
    return {
        "id": entry.id,
        "line_item": _line(entry.line, order, money),
        "line_item_id": entry.line.id,
        "location_id": None,
        "quantity": entry.quantity,
        "restock_type": "return" if entry.restock else "no_restock",
        "subtotal": float(money.text(entry.subtotal_minor)),
        "subtotal_set": money.both(entry.subtotal_minor),
        "total_tax": float(money.text(entry.tax_minor)),
        "total_tax_set": money.both(entry.tax_minor),
    }


def _adjustments(refund: Refund, order: Order, money: Money) -> list[Body]:
    kinds = (
        (refund.shipping_id, "shipping_refund", -refund.shipping_minor, "Shipping refund"),
        (refund.discrepancy_id, "refund_discrepancy", refund.discrepancy_minor, "Refund discrepancy"),
    )
    return [
        {
            "id": number,
            "amount": money.text(minor),
            "amount_set": money.both(minor),
            "kind": kind,
            "order_id": order.id,
            "reason": reason,
            "refund_id": refund.id,
            "tax_amount": money.text(0),
            "tax_amount_set": money.both(0),
        }
        for number, kind, minor, reason in kinds
        if minor
    ]


def _transaction(refund: Refund, order: Order, money: Money, zone: tzinfo) -> Body:
    return {
        "id": refund.transaction_id,
        "admin_graphql_api_id": f"gid://shopify/OrderTransaction/{refund.transaction_id}",
        "amount": money.text(refund.amount_minor),
        "created_at": shop_time(refund.created_at, zone),
        "currency": order.currency,
        "gateway": refund.gateway,
        "kind": "refund",
        "message": None,
        "order_id": order.id,
        "parent_id": None,
        "processed_at": shop_time(refund.created_at, zone),
        "status": refund.status,
        "test": order.test,
    }
