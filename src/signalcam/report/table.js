// The table of samples: filtered, sorted, in pages, walked through by keys.

const PAGE = 50;
const HEADS = { name: "sample", label: "true", predicted: "predicted", confidence: "confidence" };

// ``map`` says of which target, method and layer the scores in it are.
function tableOf(summary, source, choose, map) {
  const element = (id) => document.getElementById(id), query = { offset: 0, limit: PAGE, sort: "number", descending: "" };
  const metrics = summary.scores ? summary.scores.names.map((_, metric) => ({ metric })) : [];
  const known = [...Object.keys(HEADS).filter((name) => name === "name" || summary.known.includes(name)), ...metrics];
  let place = 0, count = 0, turn = 0, chosen = -1;

  function asked(changes = {}) {
    const share = (id) => element(id).value === "" ? "" : Number(element(id).value) / 100;
    return { ...query, ...(query.sort === "metric" ? map() : {}), text: element("text").value.trim(), predicted: element("predicted").value, outcome: element("outcome").value, least: share("least"), most: share("most"), ...changes };
  }

  const className = (index) => index === null ? "" : summary.classes[index] ?? String(index);

  function cellOf(row, name) {
    const cell = document.createElement("td");
    if (name.metric !== undefined) {
      cell.className = "sure";
      cell.textContent = scoreOf(row.trusted, name.metric, map());
      return cell;
    }
    cell.textContent = name === "name" ? row.name : name === "confidence" ? percent(row.confidence) : className(row[name]);
    if (name === "confidence") cell.className = "sure";
    if (name === "predicted" && row.label !== null && row.label !== row.predicted) {
      cell.className = "wrong";
      cell.textContent += " ✗";
    }
    return cell;
  }

  function rowOf(row, i) {
    const line = document.createElement("tr");
    line.append(...known.map((name) => cellOf(row, name)));
    line.tabIndex = -1;
    line.dataset.number = row.number;
    const take = () => { place = query.offset + i; pick(row); };
    line.addEventListener("click", take);
    line.addEventListener("keydown", (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); take(); } });
    return line;
  }

  function mark() {
    for (const line of element("rows").children) line.setAttribute("aria-selected", String(Number(line.dataset.number) === chosen));
    const lines = [...element("rows").children], open = lines.find((line) => line.getAttribute("aria-selected") === "true") || lines[0];
    for (const line of lines) line.tabIndex = line === open ? 0 : -1;
  }

  function pick(row) {
    chosen = row.number;
    mark();
    return choose(row);
  }

  async function refresh() {
    const mine = ++turn, found = await source.samples(asked());
    if (mine !== turn) return null;
    count = found.count;
    element("rows").replaceChildren(...found.rows.map(rowOf));
    const last = Math.min(query.offset + PAGE, count);
    element("count").textContent = count ? `${query.offset + 1} to ${last} of ${count}` : "no sample passes the filter";
    element("rows").dataset.turn = mine;
    element("back").disabled = query.offset === 0;
    element("forth").disabled = last >= count;
    mark();
    return found;
  }

  async function step(by) {
    if (!count) return;
    const next = Math.min(Math.max(place + by, 0), count - 1), offset = Math.floor(next / PAGE) * PAGE;
    if (offset !== query.offset) {
      query.offset = offset;
      await refresh();
    }
    const found = await source.samples(asked({ offset: next, limit: 1 }));
    place = next;
    if (found.rows.length) await pick(found.rows[0]);
    element("rows").children[next - offset]?.scrollIntoView({ block: "nearest" });
  }

  function filtered() {
    query.offset = 0;
    place = -1;
    return refresh();
  }

  function turnPage(by) {
    query.offset = Math.max(query.offset + by * PAGE, 0);
    return refresh();
  }

  function head(name) {
    const cell = document.createElement("th"), button = document.createElement("button"), scored = name.metric !== undefined;
    const title = scored ? summary.scores.names[name.metric] : HEADS[name];
    cell.scope = "col";
    if (name === "confidence" || scored) cell.className = "sure";
    button.type = "button";
    button.textContent = title;
    button.addEventListener("click", () => {
      const sort = scored ? "metric" : name, same = query.sort === sort && query.metric === name.metric;
      query.descending = same && !query.descending ? "1" : "";
      query.sort = sort;
      if (scored) query.metric = name.metric;
      else delete query.metric;
      for (const each of element("heads").children) {
        each.removeAttribute("aria-sort");
        each.firstChild.textContent = each.firstChild.textContent.replace(/ [▲▼]$/, "");
      }
      cell.setAttribute("aria-sort", query.descending ? "descending" : "ascending");
      button.textContent = `${title} ${query.descending ? "▼" : "▲"}`;
      filtered();
    });
    cell.append(button);
    if (scored) {
      const better = document.createElement("small");
      better.textContent = `${summary.scores.better[name.metric]} is better`;
      cell.append(better);
    }
    return cell;
  }

  function walk(event) {
    const by = { ArrowDown: 1, ArrowUp: -1 }[event.key], line = event.target.closest("tr");
    if (!by || !line) return;
    event.preventDefault();
    event.stopPropagation();
    const next = by > 0 ? line.nextElementSibling : line.previousElementSibling;
    if (!next) return;
    [line.tabIndex, next.tabIndex] = [-1, 0];
    next.focus();
  }

  element("heads").replaceChildren(...known.map(head));
  element("predicted").replaceChildren(new Option("any", ""), ...summary.classes.map((name, i) => new Option(name, i)));
  element("predicted-label").hidden = !known.includes("predicted");
  element("outcome-label").hidden = !(known.includes("predicted") && known.includes("label"));
  document.querySelector(".confidence").hidden = !known.includes("confidence");
  element("filters").addEventListener("input", filtered);
  element("filters").addEventListener("submit", (event) => event.preventDefault());
  element("rows").addEventListener("keydown", walk);
  element("back").addEventListener("click", () => turnPage(-1));
  element("forth").addEventListener("click", () => turnPage(1));
  return { step, rescored: () => query.sort === "metric" ? filtered() : refresh(), async open() { const found = await refresh(); if (found.rows.length) await pick(found.rows[0]); } };
}
