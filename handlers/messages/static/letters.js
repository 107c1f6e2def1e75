// Shows a letter while its words are typed. Without scripts, the button "Update the preview" does the same.
const WAIT_MS = 400;
let timer = 0;
let asking = null;

document.addEventListener("input", (event) => {
  const form = event.target.closest?.("#words-form");
  if (!form) return;
  clearTimeout(timer);
  timer = setTimeout(() => show(form), WAIT_MS);
});

async function show(form) {
  if (!document.contains(form)) return;
  asking?.abort();
  asking = new AbortController();
  const status = document.querySelector("[data-state]");
  try {
    const answer = await fetch(form.querySelector("[data-show]").getAttribute("formaction"), {
      method: "POST",
      body: new URLSearchParams(new FormData(form)),
      headers: { Accept: "application/json" },
      signal: asking.signal,
    });
    if (!answer.ok) throw new Error(String(answer.status));
    put(await answer.json());
    status.textContent = "";
  } catch (error) {
    if (error.name !== "AbortError") status.textContent = "The preview could not be brought up to date. What you typed is still here.";
  }
}

function put(letter) {
  document.querySelector("[data-subject]").textContent = letter.subject;
  document.querySelector("[data-text]").textContent = letter.text;
  for (const [field, remarks] of Object.entries(letter.remarks)) {
    document.querySelector(`[data-remark="${field}"]`).textContent = remarks.join(" ");
    const error = document.getElementById(`f-${field}-error`);
    if (error) error.hidden = true;
  }
  document.querySelectorAll("iframe[data-letter]").forEach((frame) => replace(frame, letter.src));
}

// A new frame takes the old one's place when it has loaded: nothing flickers, and going back leaves the page.
function replace(frame, src) {
  frame.parentElement.querySelector(".coming")?.remove();
  const next = frame.cloneNode();
  next.src = src;
  next.removeAttribute("data-letter");
  next.classList.add("coming");
  next.addEventListener("load", () => {
    next.classList.remove("coming");
    next.setAttribute("data-letter", "");
    frame.remove();
  });
  frame.after(next);
}
