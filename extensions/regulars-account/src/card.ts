/** What the app tells of the signed-in customer, as it stands in their metafields. */

export interface Card {
  points: number; // that can be spent
  pending: number; // that can be spent later
  tier: string | null;
  next: Reward | null; // the cheapest one they cannot pay for yet
  rewards: Reward[]; // the cheapest first
  page: string; // where points are spent
}

export interface Reward {
  name: string;
  points: number;
}

const VERSION = "2026-07";

export const QUERY = `query Points {
  customer {
    card: metafield(namespace: "$app:loyalty", key: "card") { value }
  }
}`;

interface Answer {
  data?: { customer?: { card?: { value: string } | null } | null } | null;
  errors?: { message: string }[];
}

/** Null = the customer has no points yet. Throws where the account cannot be asked. */
export async function readCard(): Promise<Card | null> {
  // Shopify's own address for extensions: it knows who is signed in.
  const response = await fetch(`shopify://customer-account/api/${VERSION}/graphql.json`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ query: QUERY }),
  });
  const { data, errors } = (await response.json()) as Answer;
  if (!data) throw new Error(errors?.[0]?.message ?? `the account answered ${response.status}`);
  const value = data.customer?.card?.value;
  return value ? cardOf(JSON.parse(value)) : null;
}

/** Null = it is of a form this version does not know: better nothing than something wrong. */
export function cardOf(found: unknown): Card | null {
  const card = found as Partial<Card> | null;
  if (!card || !isCount(card.points) || typeof card.page !== "string" || !card.page.startsWith("https://")) return null;
  const rewards = Array.isArray(card.rewards) ? card.rewards.filter(isReward) : [];
  return {
    points: card.points,
    pending: isCount(card.pending) ? card.pending : 0,
    tier: typeof card.tier === "string" && card.tier ? card.tier : null,
    next: isReward(card.next) ? card.next : null,
    rewards,
    page: card.page,
  };
}

function isCount(found: unknown): found is number {
  return Number.isSafeInteger(found);
}

function isReward(found: unknown): found is Reward {
  const reward = found as Partial<Reward> | null;
  return !!reward && typeof reward.name === "string" && isCount(reward.points) && reward.points > 0;
}
