-- Signed orders in turn under delivery ids that never repeat, and the result as one line of JSON.

local bodies, signatures, number, label = {}, {}, 0, ""

function init(args)
  for line in io.lines(args[1]) do
    local tab = line:find("\t", 1, true)
    signatures[#signatures + 1] = line:sub(1, tab - 1)
    bodies[#bodies + 1] = line:sub(tab + 1)
  end
  label = args[2]
end

local head = "POST /webhooks/shopify HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n" ..
  "X-Shopify-Topic: orders/create\r\nX-Shopify-Shop-Domain: bench.myshopify.com\r\n" ..
  "X-Shopify-API-Version: 2026-10\r\nX-Shopify-Triggered-At: 2026-11-22T10:00:00.000Z\r\n"

function request()
  number = number + 1
  local n = number % #bodies + 1
  return head .. "X-Shopify-Webhook-Id: " .. label .. "-" .. number ..
    "\r\nX-Shopify-Hmac-Sha256: " .. signatures[n] ..
    "\r\nContent-Length: " .. #bodies[n] .. "\r\n\r\n" .. bodies[n]
end

function done(summary, latency, requests)
  local refused = summary.errors.status + summary.errors.connect + summary.errors.read +
    summary.errors.write + summary.errors.timeout
  io.write(string.format('RESULT {"requests": %d, "seconds": %.3f, "p99_ms": %.3f, "refused": %d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(99) / 1000, refused))
end
