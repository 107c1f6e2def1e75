/** Below an order and on the profile: what the customer has, and how far it is to the next reward. */

import "@shopify/ui-extensions/preact";
import { render } from "preact";
import type { Card } from "./card";
import { readCard } from "./card";
import { Balance, Next, Open } from "./parts";

export default async () => {
  // Whoever is not signed in, or has no points yet, sees nothing here: the page is about something else.
  const card = await readCard().catch(() => null);
  if (card) render(<Points card={card} />, document.body);
};

function Points({ card }: { card: Card }) {
  return (
    <s-section>
      <s-stack gap="base">
        <Balance card={card} />
        <Next card={card} />
        <Open card={card} />
      </s-stack>
    </s-section>
  );
}
