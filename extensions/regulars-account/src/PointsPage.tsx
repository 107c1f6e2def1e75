/** A page of the account: balance, tier, the way to the next reward, and what points buy. */

import "@shopify/ui-extensions/preact";
import { render } from "preact";
import type { Card } from "./card";
import { readCard } from "./card";
import { Balance, Next, Open, Rewards, words } from "./parts";

export default async () => {
  try {
    const card = await readCard();
    render(<Points card={card} />, document.body);
  } catch {
    render(<Away />, document.body);
  }
};

function Points({ card }: { card: Card | null }) {
  return (
    <s-page heading={words("title")}>
      <s-section>
        {card ? (
          <s-stack gap="base">
            <Balance card={card} />
            <Next card={card} />
          </s-stack>
        ) : (
          <s-text>{words("none_yet")}</s-text>
        )}
      </s-section>
      {card && (
        <s-section heading={words("buys")}>
          <s-stack gap="base">
            <Rewards card={card} />
            <Open card={card} />
          </s-stack>
        </s-section>
      )}
    </s-page>
  );
}

function Away() {
  return (
    <s-page heading={words("title")}>
      <s-banner tone="warning">{words("away")}</s-banner>
    </s-page>
  );
}
