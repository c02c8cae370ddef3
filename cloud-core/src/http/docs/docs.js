// Shows the OpenAPI document of this core, and calls what it describes. Whatever comes from the
// server is put into the page as text, never as markup.
"use strict";

const byId = (id) => document.getElementById(id);

// Makes an element with properties and children; a child may be a text.
function make(name, properties, ...children) {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...children.filter((child) => child !== null));
  return element;
}

function refName(ref) {
  return ref.slice(ref.lastIndexOf("/") + 1);
}

// A schema in a few words, for the tables.
function brief(schema) {
  if (schema === undefined || schema === true) return "anything";
  if (schema.$ref) return refName(schema.$ref);
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((one) => JSON.stringify(one)).join(" | ");
  const choices = schema.oneOf || schema.anyOf;
  if (choices) return choices.map(brief).join(" | ");
  if (schema.allOf) return schema.allOf.map(brief).join(" & ");
  const kinds = [schema.type].flat().filter(Boolean).join(" | ") || "anything";
  return schema.items ? `${kinds} of ${brief(schema.items)}` : kinds;
}

function table(heads, rows) {
  const line = (kind, cells) => make("tr", {}, ...cells.map((cell) => make(kind, {}, cell)));
  return make("table", {}, line("th", heads), ...rows.map((cells) => line("td", cells)));
}

// The fields to try an operation with, and what sends them.
function trial(path, verb, operation) {
  const inputs = (operation.parameters || []).map((parameter) => {
    const input = make("input", {
      placeholder: parameter.example === undefined ? "" : String(parameter.example),
      ariaLabel: parameter.name,
    });
    return { parameter, input };
  });
  const rows = inputs.map(({ parameter, input }) => [
    make("code", {}, parameter.name + (parameter.required ? " *" : "")),
    input,
    make("code", {}, brief(parameter.schema)),
    parameter.description || "",
  ]);
  const content = operation.requestBody ? Object.entries(operation.requestBody.content)[0] : null;
  const example = content ? content[1].example : undefined;
  const body = content
    ? make("textarea", {
        spellcheck: false,
        ariaLabel: "Body",
        value: typeof example === "string" ? example : JSON.stringify(example, null, 2),
      })
    : null;
  const answer = make("pre", { hidden: true });
  const button = make("button", { type: "button" }, "Send");
  button.addEventListener("click", async () => {
    answer.hidden = false;
    answer.className = "";
    answer.textContent = "…";
    try {
      answer.textContent = await call(path, verb, inputs, body && [content[0], body.value]);
    } catch (error) {
      answer.className = "failed";
      answer.textContent = String(error);
    }
  });
  return make(
    "div",
    {},
    rows.length ? table(["parameter", "value", "type", "meaning"], rows) : null,
    body ? make("p", {}, operation.requestBody.description || "The body:") : null,
    body,
    button,
    answer,
  );
}

async function call(path, verb, inputs, body) {
  const headers = {};
  const query = new URLSearchParams();
  let target = path;
  for (const { parameter, input } of inputs) {
    if (input.value === "" && parameter.in !== "path") continue;
    if (parameter.in === "path") {
      target = target.replace(`{${parameter.name}}`, encodeURIComponent(input.value));
    } else if (parameter.in === "query") {
      query.append(parameter.name, input.value);
    } else {
      headers[parameter.name] = input.value;
    }
  }
  const token = byId("token").value;
  if (token !== "") headers.Authorization = `Bearer ${token}`;
  if (body) headers["Content-Type"] = body[0];
  const text = query.toString();
  const response = await fetch(text === "" ? target : `${target}?${text}`, {
    method: verb.toUpperCase(),
    headers,
    body: body ? body[1] : undefined,
  });
  const said = await response.text();
  let shown = said;
  try {
    shown = JSON.stringify(JSON.parse(said), null, 2);
  } catch {
    // Not JSON, or many values: shown as it came.
  }
  const kept = ["content-type", "location", "retry-after", "allow"];
  const told = kept.filter((name) => response.headers.has(name));
  const lines = told.map((name) => `${name}: ${response.headers.get(name)}`);
  return [`${response.status} ${response.statusText}`, ...lines, "", shown].join("\n");
}

function answers(operation) {
  const rows = Object.entries(operation.responses).map(([status, response]) => {
    const media = Object.entries(response.content || {});
    const shapes = media.map(([kind, told]) => {
      const item = told["x-item-schema"];
      return `${kind}: ${item ? `many ${brief(item)}` : brief(told.schema)}`;
    });
    return [make("code", {}, status), response.description, make("code", {}, shapes.join(", "))];
  });
  return table(["answer", "is", "with"], rows);
}

function show(api) {
  byId("about").textContent = `${api.info.title} ${api.info.version}. ${api.info.description}`;
  for (const tag of api.tags) {
    const group = make("section", { id: `tag-${tag.name}` }, make("h2", {}, tag.name));
    group.append(make("p", {}, tag.description));
    byId("contents").append(make("a", { href: `#tag-${tag.name}` }, tag.name));
    for (const [path, verbs] of Object.entries(api.paths)) {
      for (const [verb, operation] of Object.entries(verbs)) {
        if (!operation.tags.includes(tag.name)) continue;
        group.append(
          make(
            "details",
            { id: operation.operationId },
            make(
              "summary",
              {},
              make("span", { className: "method" }, verb.toUpperCase()),
              make("code", {}, path),
              ` ${operation.summary} `,
              make("span", { className: "role" }, operation["x-ambit-role"]),
            ),
            make("p", {}, operation.description || ""),
            trial(path, verb, operation),
            answers(operation),
          ),
        );
      }
    }
    byId("operations").append(group);
  }
  for (const [name, schema] of Object.entries(api.components.schemas)) {
    byId("schemas").append(
      make(
        "details",
        { id: `schema-${name}` },
        make("summary", {}, make("code", {}, name)),
        make("p", {}, schema.description || ""),
        make("pre", {}, JSON.stringify(schema, null, 2)),
      ),
    );
  }
}

fetch("/v1/openapi.json")
  .then((response) => response.json())
  .then(show)
  .catch((error) => {
    byId("about").className = "failed";
    byId("about").textContent = `The document cannot be read: ${error}`;
  });
