// Signs bodies of ours with the platforms' own npm packages and prints the vectors `vectors.json` holds.
//
//   npm install stripe@23.1.0 @shopify/shopify-api@13.1.0     (in any folder, on Node 20)
//   NODE_PATH=<that folder>/node_modules node sign.cjs > vectors.json
//
// Each package also takes back what it signed, so that a vector is never one nobody would accept.
require("@shopify/shopify-api/adapters/node");
const { shopifyApi, ApiVersion, LogSeverity } = require("@shopify/shopify-api");
const { createSHA256HMAC, HashFormat } = require("@shopify/shopify-api/runtime");
const Stripe = require("stripe");

const AT = 1795000000;
const SECRETS = { shopify: "a shop's secret, for tests", stripe: "whsec_a_secret_for_tests" };
const BODIES = [
  "{}",
  '{"id":1001,"name":"#1001","total_price":"40.00","note":null}',
  '{"id":1002,"customer":{"first_name":"Zoë","last_name":"Đặng"},"note":"🫖 \u2028 thé\\u00e9 “à la carte”"}',
  '{\r\n  "id": 1003,\r\n  "tags": "a, b"\r\n}\r\n',
  `{"id":1004,"note":"${"oolong ".repeat(300)}"}`,
];

async function main() {
  const shop = shopifyApi({
    apiKey: "key", apiSecretKey: SECRETS.shopify, hostName: "shop.example", isEmbeddedApp: false,
    apiVersion: Object.values(ApiVersion)[0], logger: { level: LogSeverity.Error },
  });
  const vectors = [];
  for (const body of BODIES) {
    const shopify = await createSHA256HMAC(SECRETS.shopify, body, HashFormat.Base64);
    const headers = {
      "X-Shopify-Hmac-Sha256": shopify, "X-Shopify-Topic": "orders/create", "X-Shopify-API-Version": "2026-10",
      "X-Shopify-Shop-Domain": "corner.myshopify.com", "X-Shopify-Webhook-Id": "1",
    };
    const rawRequest = { method: "POST", url: "/", headers };
    const taken = await shop.webhooks.validate({ rawBody: body, rawRequest, rawResponse: {} });
    if (!taken.valid) throw new Error(`Shopify's package refuses its own: ${JSON.stringify(taken)}`);
    const stripe = Stripe.webhooks.generateTestHeaderString({ payload: body, secret: SECRETS.stripe, timestamp: AT });
    Stripe.webhooks.signature.verifyHeader(body, stripe, SECRETS.stripe, undefined, undefined, AT * 1000);
    vectors.push({ body, shopify, stripe });
  }
  const packages = ["stripe", "@shopify/shopify-api"];
  const made = { node: process.version, ...Object.fromEntries(packages.map((name) => [name, version(name)])) };
  console.log(JSON.stringify({ made, at: AT, secrets: SECRETS, vectors }, null, 1));
}

function version(name) {
  const [modules] = require.resolve(name).split(`/${name}/`);
  return JSON.parse(require("fs").readFileSync(`${modules}/${name}/package.json`)).version;
}

main().catch((error) => { console.error(error); process.exit(1); });
