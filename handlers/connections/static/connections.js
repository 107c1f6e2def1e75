// In Shopify's admin a permission can be given where it is listed: Shopify asks the merchant, in its own words.
document.addEventListener("click", async (event) => {
  const button = event.target.closest?.("[data-grant]");
  if (!button || !window.shopify?.scopes) return;
  const said = document.querySelector("[data-granted]");
  button.disabled = true;
  try {
    const answer = await window.shopify.scopes.request([button.dataset.grant]);
    if (answer.result === "granted-all") {
      said.textContent = said.dataset.yes;
      return;
    }
    said.textContent = said.dataset.no;
  } catch {
    said.textContent = said.dataset.failed;
  }
  button.disabled = false;
});
