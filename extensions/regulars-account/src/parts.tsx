/** How a card is shown, alike in every place. */

import type { Card } from "./card";

interface Translating {
  i18n: { translate: (key: string, values?: Values) => unknown };
}

interface Values {
  count?: number;
  [name: string]: string | number | undefined;
}

/** Say something in the reader's language; counts are written as it writes them. */
export function words(key: string, values?: Values): string {
  return String((shopify as unknown as Translating).i18n.translate(key, values));
}

export function Balance({ card }: { card: Card }) {
  return (
    <s-stack gap="small">
      <s-heading>{words("balance", { count: card.points })}</s-heading>
      {card.pending > 0 && <s-text color="subdued">{words("pending", { count: card.pending })}</s-text>}
      {card.tier && <s-badge>{card.tier}</s-badge>}
    </s-stack>
  );
}

export function Next({ card }: { card: Card }) {
  if (!card.next) return null;
  const missing = Math.max(0, card.next.points - card.points);
  const said = words("next", { count: missing, reward: card.next.name });
  return (
    <s-stack gap="small">
      <s-text>{said}</s-text>
      <s-progress accessibilityLabel={said} max={card.next.points} value={Math.max(0, card.points)} />
    </s-stack>
  );
}

export function Rewards({ card }: { card: Card }) {
  if (card.rewards.length === 0) return <s-text>{words("nothing")}</s-text>;
  return (
    <s-unordered-list>
      {card.rewards.map((reward) => (
        <s-list-item key={`${reward.points} ${reward.name}`}>
          {`${reward.name}: ${words("balance", { count: reward.points })}`}
        </s-list-item>
      ))}
    </s-unordered-list>
  );
}

export function Open({ card }: { card: Card }) {
  return (
    <s-button href={card.page} target="_blank">
      {words("open")}
    </s-button>
  );
}
