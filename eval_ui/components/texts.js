// The texts of the page: CATALOGUES, from eval_ui/texts, by language, section and name; see there for the format.

let language = "en";
let plurals = new Intl.PluralRules(language);

const speak = (wanted) => {
  language = wanted in CATALOGUES ? wanted : "en";
  plurals = new Intl.PluralRules(language.split("-x-")[0]);
};

const say = (key, values = {}) => {
  const [section, name] = (values.count === undefined ? key : `${key}_${plurals.select(values.count)}`).split(".");
  const text = CATALOGUES[language][section]?.[name] ?? CATALOGUES.en[section][name];
  return text.replace(/\{\{(\w+)\}\}/g, (_, value) => String(values[value]));
};

// Fill an element's HTML, in which data-say, data-say-title and data-say-label name texts.
const fill = (root) => {
  for (const one of root.querySelectorAll("template")) fill(one.content);
  for (const one of root.querySelectorAll("[data-say]")) one.textContent = say(one.dataset.say);
  for (const one of root.querySelectorAll("[data-say-title]")) one.title = say(one.dataset.sayTitle);
  for (const one of root.querySelectorAll("[data-say-label]")) one.setAttribute("aria-label", say(one.dataset.sayLabel));
};
