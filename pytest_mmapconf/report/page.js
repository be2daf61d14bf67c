// The page is readable without this script; it adds a filter for the clauses, and buttons that copy programs.
"use strict";
(() => {
  const form = document.getElementById("filter");
  const clauses = [...document.querySelectorAll(".clause")];
  const buttons = [...form.querySelectorAll("[data-verdict]")];
  const said = document.getElementById("said");
  const texts = new Map();

  // The text of a clause that the filter searches: everything except its programs.
  const text = (clause) => {
    if (!texts.has(clause)) {
      const copy = clause.cloneNode(true);
      for (const program of copy.querySelectorAll(".program")) program.remove();
      texts.set(clause, copy.textContent.toLowerCase());
    }
    return texts.get(clause);
  };

  const filter = () => {
    const words = form.elements.text.value.toLowerCase().split(/\s+/).filter(Boolean);
    const level = form.elements.level.value;
    const verdicts = buttons.filter((button) => button.ariaPressed === "true").map((button) => button.dataset.verdict);
    const differs = form.elements.differs?.checked;
    let shown = 0;
    for (const clause of clauses) {
      const has = clause.dataset.verdicts.split(" ");
      const fits =
        (!level || clause.dataset.level === level) &&
        (!verdicts.length || verdicts.some((verdict) => has.includes(verdict))) &&
        (!differs || "differs" in clause.dataset) &&
        words.every((word) => text(clause).includes(word));
      clause.hidden = !fits;
      shown += fits;
    }
    for (const group of document.querySelectorAll(".group")) group.hidden = !group.querySelector(".clause:not([hidden])");
    document.getElementById("shown").textContent = `${shown} of ${clauses.length} clauses`;
    document.getElementById("nothing").hidden = shown > 0;
  };

  const open = (of) => {
    for (const clause of clauses) if (!clause.hidden) clause.open = of;
  };

  const reset = () => {
    form.reset();
    for (const button of buttons) button.ariaPressed = "false";
    filter();
  };

  // Show the element that the address names, even if its clause is filtered out or closed.
  const reveal = () => {
    const target = document.getElementById(location.hash.slice(1));
    const clause = target?.closest(".clause");
    if (!clause) return;
    if (clause.hidden) reset();
    clause.open = true;
    target.scrollIntoView();
  };

  let silence;
  const announce = (message) => {
    said.textContent = message;
    clearTimeout(silence);
    silence = setTimeout(() => (said.textContent = ""), 4000);
  };

  const copy = async (program) => {
    try {
      await navigator.clipboard.writeText(program.textContent);
      announce("Copied");
    } catch {
      program.closest("details").open = true;
      getSelection().selectAllChildren(program);
      program.focus();
      announce("Selected: copy it with your keyboard");
    }
  };

  form.hidden = false;
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", filter);
  for (const button of buttons)
    button.addEventListener("click", () => {
      button.ariaPressed = button.ariaPressed === "true" ? "false" : "true";
      filter();
    });
  document.getElementById("open-all").addEventListener("click", () => open(true));
  document.getElementById("close-all").addEventListener("click", () => open(false));
  document.getElementById("reset").addEventListener("click", reset);
  for (const button of document.querySelectorAll("[data-copy]")) {
    button.hidden = false;
    button.addEventListener("click", () => copy(document.getElementById(button.dataset.copy)));
  }

  // "/" moves the focus to the text of the filter, the arrow keys from clause to clause.
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const field = event.target.closest("input, select, textarea");
    if (event.key === "/" && !field) {
      event.preventDefault();
      form.elements.text.focus();
    } else if (event.key === "Escape" && field) {
      reset();
    } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      const here = event.target.closest("summary")?.closest(".clause");
      if (!here || event.target !== here.firstElementChild) return;
      const visible = clauses.filter((clause) => !clause.hidden);
      const next = visible[visible.indexOf(here) + (event.key === "ArrowDown" ? 1 : -1)];
      if (next) {
        event.preventDefault();
        next.firstElementChild.focus();
      }
    }
  });
  addEventListener("hashchange", reveal);
  filter();
  reveal();
})();
