//! The words of the generated services: things, deeds, and classes made of both.

use super::random::Random;

pub(crate) const THINGS: [&str; 48] = [
    "order",
    "cart",
    "customer",
    "invoice",
    "payment",
    "refund",
    "shipment",
    "parcel",
    "address",
    "voucher",
    "product",
    "price",
    "stock",
    "warehouse",
    "supplier",
    "category",
    "review",
    "session",
    "token",
    "account",
    "wishlist",
    "basket",
    "coupon",
    "catalog",
    "image",
    "bundle",
    "carrier",
    "label",
    "return",
    "receipt",
    "ledger",
    "tax",
    "currency",
    "locale",
    "banner",
    "campaign",
    "segment",
    "recommendation",
    "query",
    "suggestion",
    "facet",
    "index",
    "snapshot",
    "template",
    "attachment",
    "webhook",
    "schedule",
    "quota",
];

pub(crate) const DEEDS: [&str; 40] = [
    "create",
    "update",
    "delete",
    "fetch",
    "validate",
    "reserve",
    "release",
    "confirm",
    "cancel",
    "calculate",
    "export",
    "import",
    "publish",
    "notify",
    "render",
    "resize",
    "archive",
    "restore",
    "merge",
    "split",
    "lock",
    "unlock",
    "approve",
    "reject",
    "schedule",
    "retry",
    "expire",
    "refresh",
    "sync",
    "resolve",
    "assign",
    "transfer",
    "charge",
    "settle",
    "pack",
    "dispatch",
    "collect",
    "rank",
    "score",
    "translate",
];

pub(crate) const KINDS: [&str; 16] = [
    "Service",
    "Repository",
    "Controller",
    "Client",
    "Mapper",
    "Validator",
    "Scheduler",
    "Handler",
    "Listener",
    "Factory",
    "Gateway",
    "Publisher",
    "Cache",
    "Adapter",
    "Resolver",
    "Exporter",
];

pub(crate) const REASONS: [&str; 24] = [
    "connection reset by upstream",
    "lock not available",
    "version conflict, another writer was first",
    "deadline exceeded",
    "card declined by issuer",
    "address not deliverable",
    "stock below threshold",
    "rate limit of partner reached",
    "signature does not match",
    "payload too large",
    "unknown currency",
    "missing field postcode",
    "pool exhausted",
    "read timed out",
    "certificate expires soon",
    "duplicate key",
    "no route to warehouse",
    "template has unknown placeholder",
    "disk almost full",
    "broker not reachable",
    "unexpected end of stream",
    "voucher already redeemed",
    "price changed meanwhile",
    "queue is full",
];

pub(crate) const HOSTS: [&str; 10] = [
    "db-primary",
    "db-replica",
    "cache-north",
    "cache-south",
    "broker-one",
    "broker-two",
    "search-node",
    "object-store",
    "payment-partner",
    "mail-relay",
];

/// `PaymentRefundGateway`: some thousands, a few of them often.
pub(crate) fn class(random: &mut Random) -> String {
    let number = random.skewed((THINGS.len() * THINGS.len() * KINDS.len()) as u64) as usize;
    let first = THINGS[number / KINDS.len() % THINGS.len()];
    let second = THINGS[number / KINDS.len() / THINGS.len()];
    let kind = KINDS[number % KINDS.len()];
    if first == second {
        return format!("{}{kind}", capital(first));
    }
    format!("{}{}{kind}", capital(first), capital(second))
}

/// `reserveParcel`
pub(crate) fn method(random: &mut Random) -> String {
    let (deed, thing) = (random.pick(&DEEDS), random.pick(&THINGS));
    format!("{deed}{}", capital(thing))
}

pub(crate) fn capital(word: &str) -> String {
    let (first, rest) = word.split_at(1);
    first.to_ascii_uppercase() + rest
}
