// An import that is under way is looked at again until it has come to its end. Without scripts there is a link for it.
const AGAIN = 1500; // milliseconds
const HERE = "[data-under-way]";

let waiting = null;

async function look() {
  const place = document.querySelector(HERE);
  if (!place) return;
  try {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
    const page = answer.ok ? new DOMParser().parseFromString(await answer.text(), "text/html") : null;
    const news = page?.querySelector(HERE);
    if (news) place.replaceWith(news);
    else if (page?.querySelector("main") && document.contains(place)) {
      document.querySelector("main").replaceWith(page.querySelector("main"));
    }
  } catch {
    // Offline for a moment: the next look may succeed.
  }
  watch();
}

function watch() {
  clearTimeout(waiting);
  if (document.querySelector(HERE)) waiting = setTimeout(look, AGAIN);
}

document.addEventListener("turbo:load", watch);
watch();
