// Parses JavaScript: `node parse_scripts.js`, with [[NAME, TEXT, VERSION, "module" or "script"], …]
// as JSON on its input. It prints, as JSON and for each name, an error ("" if there is none), what
// is imported, and all names that occur.
"use strict";

const acorn = require("/usr/share/nodejs/acorn");

// Those of properties have a dot before them, those that are called a "(" after them.
function names(text, options) {
  const tokens = Array.from(acorn.tokenizer(text, options));
  const label = (at) => (at in tokens ? tokens[at].type.label : "");
  const found = tokens.map(({ value }, at) => {
    if (label(at) !== "name") return "";
    return (label(at - 1) === "." ? "." : "") + value + (label(at + 1) === "(" ? "(" : "");
  });
  return Array.from(new Set(found));
}

function parse([name, text, ecmaVersion, sourceType]) {
  const options = { ecmaVersion, sourceType, locations: true };
  try {
    const { body } = acorn.parse(text, options);
    const imports = body.filter((each) => each.source).map((each) => each.source.value);
    return [name, { error: "", imports, names: names(text, options) }];
  } catch (error) {
    return [name, { error: error.message, imports: [], names: [] }];
  }
}

const found = JSON.parse(require("fs").readFileSync(0, "utf8")).map(parse);
console.log(JSON.stringify(Object.fromEntries(found)));
