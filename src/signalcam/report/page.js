// The page: what is chosen, what is shown of it, and the words around it.

const element = (id) => document.getElementById(id);

function told(trouble) {
  element("trouble").hidden = false;
  element("trouble").textContent = `Something could not be shown: ${trouble.message || trouble}`;
}

function guarded(call) {
  return (...given) => {
    element("trouble").hidden = true;
    return Promise.resolve().then(() => call(...given)).catch(told);
  };
}

// A picture's axis from edge to edge, and its data from low to high.
function edgesOf(axis) {
  const ends = [drawnAt(axis, -0.5), drawnAt(axis, axis.length - 0.5)];
  return ends.sort((a, b) => a - b);
}

function turned(values, [height, width], axes, planes = 1) {
  const [up, across] = axes.map((axis) => axis.step < 0);
  if (!up && !across) return values;
  return values.map((_, i) => {
    const plane = Math.floor(i / (height * width)), y = Math.floor(i / width) % height, x = i % width;
    return values[plane * height * width + (up ? height - 1 - y : y) * width + (across ? width - 1 - x : x)];
  });
}

function rising(tile) {
  if (tile.x.length < 2 || tile.x[1] > tile.x[0]) return tile;
  const back = (values) => values.slice().reverse();
  return { x: back(tile.x), low: tile.low.map(back), high: tile.high.map(back), heat: tile.heat.map(back) };
}

function signalPanel(known, source, figure, words) {
  const { summary } = known, axis = summary.axes[0], all = edgesOf(axis);
  let choice = null, full = null, tile = null, layout = null, ends = null, turn = 0, waiting = false, busy = false, again = false;

  function drawTile() {
    const { rows, place, ends: heights } = layout, paths = [];
    for (let row = 0; row < rows; row++) paths.push(...(choice.group === undefined ? [pathOf(tile, row, place)] : bandOf(tile, row, place)));
    figure.lines(paths.map((each) => each[0]), paths.map((each) => each[1]), paths.map((each) => each[2]));
    figure.strips(tile.heat, tile.x, { bottom: heights[0], top: heights[1], step: Math.abs(axis.step) });
    const [from, to] = figure.window();
    figure.ticks("x", ticksOf(axis, from, to, figure.width() / 70));
    document.documentElement.dataset.columns = tile.x.length;
    document.documentElement.dataset.drawn = Number(document.documentElement.dataset.drawn || 0) + 1;
  }

  // One question at a time: a server is not asked again before it has answered.
  async function redraw() {
    waiting = false;
    again = busy;
    if (full === null || busy) return;
    busy = true;
    const mine = ++turn, [from, to] = figure.window(), whole = from <= ends[0] && to >= ends[1];
    try {
      const found = whole ? full : rising(await source.tile(choice, from, to, figure.width()));
      if (mine !== turn) return;
      tile = found;
      drawTile();
    } finally {
      busy = false;
      if (again) later();
    }
  }

  function later() {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(guarded(redraw));
  }

  function colours() {
    const top = words.top(choice) || Math.max(...full.heat.map((row) => Math.abs(strongestOf(row)) || 0)) || 1;
    figure.scale(summary.signed ? -top : 0, top);
    return top;
  }

  async function show(next) {
    const mine = ++turn, found = rising(await source.tile(next, all[0], all[1], figure.width()));
    if (mine !== turn) return;
    choice = next;
    full = found;
    layout = laidOut(full, words.own(full));
    const own = endsOf(full.x);
    if (ends === null || own.some((end, i) => end !== ends[i])) figure.begin(ends = own, layout.ends);
    else figure.heights(...layout.ends);
    const top = colours();
    words.say(choice, summaryOf(full), top, layout);
    words.text((token) => full.heat[0][Math.round((drawnAt(axis, token) - full.x[0]) / stepOf(full.x, 1))], top);
    await redraw();
  }

  // From edge to edge of a sample, which may be shorter than others.
  function endsOf(x) {
    const step = Math.abs(axis.step), half = stepOf(x, step) / 2, own = [x[0] - half, x[x.length - 1] + half];
    return own.map((end, i) => Math.abs(end - all[i]) < step + half ? all[i] : end);
  }

  // Where the heat is strongest, in words.
  function summaryOf({ x, heat }) {
    let best = { size: 0, row: 0, at: 0 };
    heat.forEach((row, r) => row.forEach((value, i) => { if (Math.abs(value) > best.size) best = { size: Math.abs(value), value, row: r, at: i }; }));
    if (!best.size) return "The map is blank: nothing speaks for this target.";
    const row = heat[best.row];
    let [from, to] = [best.at, best.at];
    while (from > 0 && Math.abs(row[from - 1]) >= best.size / 2) from--;
    while (to < row.length - 1 && Math.abs(row[to + 1]) >= best.size / 2) to++;
    const step = stepOf(x, Math.abs(axis.step)), where = heat.length > 1 ? ` on ${words.channel(best.row)}` : "", against = best.value < 0 ? ", against the target" : "";
    const half = from === to ? "" : `, and at least half as strong from ${said(axis, x[from], step)} to ${withUnit(axis, x[to], step)}`;
    return `The heat is strongest${where} at ${axis.name} ${withUnit(axis, x[best.at], step)} (${spelt(best.value)}${against})${half}.`;
  }

  function pointed(x, y) {
    if (x === null || tile === null) return words.read("");
    const step = stepOf(tile.x, 1), i = Math.min(Math.max(Math.round((x - tile.x[0]) / step), 0), tile.x.length - 1);
    const row = layout.rows === 1 ? 0 : Math.min(Math.max(layout.rows - 1 - Math.round(y), 0), layout.rows - 1);
    const heat = tile.heat[Math.floor(row * tile.heat.length / layout.rows)][i], low = tile.low[row][i], high = tile.high[row][i];
    const values = Number.isNaN(low) ? [] : [low === high ? spelt(low, 4) : `${spelt(low, 4)} to ${spelt(high, 4)}`];
    return words.read([`${axis.name} ${withUnit(axis, x)}`, ...words.value(row, values), `importance ${spelt(heat)}`].join(" · "));
  }

  figure.moved(later);
  figure.pointed(pointed);

  function zoomed(factor, shift) {
    const [from, to] = figure.window(), middle = (from + to) / 2 + shift * (to - from), half = (to - from) / 2 * factor;
    figure.move(middle - half, middle + half, ends);
  }
  return { show, zoomed, everything: () => figure.move(ends[0], ends[1], ends), recolour: (colours) => figure.recolour(summary.signed ? colours.two : colours.one) };
}

function picturePanel(known, source, figure, words) {
  const { summary } = known, [up, across] = summary.axes.slice(-2), deep = summary.axes.length === 3 ? summary.axes[0] : null;
  const [left, right] = edgesOf(across), [low, high] = edgesOf(up), downwards = across.name !== "time";
  const ends = [left, right], heights = downwards ? [high, low] : [low, high], size = [up.length, across.length];
  const place = { x: [left], y: [low], dw: [right - left], dh: [high - low] };
  let shown = null, choice = null, turn = 0, begun = false;

  async function show(next, at = -1) {
    const mine = ++turn, found = await source.slice(next, at);
    if (mine !== turn) return;
    [choice, shown] = [next, { ...found, at: at < 0 ? found.at : at }];
    if (!begun) {
      const shape = (high - low) / (right - left), square = downwards && up.unit === across.unit && shape > 1 / 6 && shape < 6;
      const width = figure.width();
      const most = Math.min(Math.max(innerHeight - 380, 260), 560);
      figure.height(Math.round(square ? Math.min(Math.max(width * shape, 220), most) + 70 : 420));
      if (square && width * shape > most) figure.fit(most / shape + 130);
      figure.begin(ends, heights);
      figure.moved(() => requestAnimationFrame(ticks));
      figure.pointed(pointed);
      begun = true;
    }
    const spread = words.deviation() ? found.deviation : null, top = (spread ? Math.abs(strongestOf(spread)) : words.top(choice) || found.strongest) || 1;
    figure.scale(summary.signed ? -top : 0, top);
    figure.pixels(turned(coloursOf(found.picture, found.planes, size), size, [up, across]), size, place);
    figure.blanket(turned(spread ?? found.heat, size, [up, across]), size, place);
    ticks();
    words.slice(deep, shown.at);
    words.say(choice, spread ? "" : summaryOf(found), top, null);
    document.documentElement.dataset.drawn = Number(document.documentElement.dataset.drawn || 0) + 1;
  }

  function ticks() {
    figure.ticks("x", ticksOf(across, ...figure.window(), figure.width() / 70));
    figure.ticks("y", ticksOf(up, low, high, 8));
  }

  const corner = (at) => [Math.floor(at / across.length), at % across.length];

  function summaryOf({ heat, strongest, at }) {
    if (!strongest) return "The map is blank: nothing speaks for this target.";
    const peak = heat.reduce((best, value, i) => Math.abs(value) > Math.abs(heat[best]) ? i : best, 0), [y, x] = corner(peak);
    const slice = deep ? `The strongest slice is ${deep.name} ${withUnit(deep, drawnAt(deep, at))}. In the one shown the` : "The";
    return `${slice} heat is strongest at ${up.name} ${withUnit(up, drawnAt(up, y))}, ${across.name} ${withUnit(across, drawnAt(across, x))} (${spelt(heat[peak])}).`;
  }

  function pointed(x, y) {
    if (x === null || shown === null) return words.read("");
    const row = entryAt(up, y), column = entryAt(across, x), i = row * across.length + column;
    const colours = Array.from({ length: shown.planes }, (_, plane) => shown.picture[plane * up.length * across.length + i]);
    return words.read([`${up.name} ${withUnit(up, y)}`, `${across.name} ${withUnit(across, x)}`, ...(colours.length ? [`brightness ${colours.join(", ")} of 255`] : []), `importance ${spelt(shown.heat[i])}`].join(" · "));
  }

  return {
    show, at: (slice) => show(choice, slice), zoomed() {}, everything() {},
    recolour: (_, colours) => figure.recolour(summary.signed ? colours.two : colours.one),
  };
}

// The words around a figure. ``mark`` begins the names of its elements.
function wordsOf(known, mark, row) {
  const { summary } = known, id = (name) => element(mark + name);

  function question(choice) {
    const index = row() ? row().asked[choice.target] : -1;
    return index >= 0 ? summary.classes[index] : `the target ${summary.targets[choice.target]}`;
  }

  function heights(layout) {
    if (layout === null || layout.rows === 1 || !Math.max(...layout.swings)) return "";
    if (!mark && element("own").checked) return " Heights: each channel at its own scale.";
    return ` Heights: all channels at one scale, ${spelt(layout.value / ROW)} ${mark ? "" : summary.units} a row.`.replace(/ +/g, " ");
  }

  const channel = (line) => /^\d+$/.test(summary.rows[line]) ? `channel ${summary.rows[line]}` : summary.rows[line];

  return {
    channel,
    deviation: () => Boolean(mark) && element("shows").value === "deviation",
    top: (choice) => !mark && element("same").checked ? summary.strongest[choice.target][choice.method][choice.layer] : 0,
    own: (full) => !mark && full.low.length > 1 && element("own").checked,
    read: (text) => { id("reading").textContent = text; },
    value: (line, values) => mark ? values.map((each) => `mean and deviation ${each}`) : [...(summary.rows.length > 1 ? [channel(line)] : []), ...values.map((each) => `${each} ${summary.units}`.trim())],
    // Tokens as they are read, each under its heat.
    text(heat, top) {
      const tokens = row()?.words ?? [];
      if (mark) return;
      element("words").hidden = !tokens.length;
      element("words").replaceChildren(...tokens.flatMap(([token, text, glued], i) => {
        const span = document.createElement("span"), value = heat(token), colour = value < 0 ? "against" : summary.signed ? "towards" : "for";
        span.textContent = text;
        span.title = `token ${token}, importance ${spelt(value)}`;
        span.style.background = `color-mix(in srgb, var(--${colour}) ${Math.round(100 * Math.abs(value || 0) / top)}%, transparent)`;
        return i && !glued ? [" ", span] : [span];
      }));
    },
    slice(deep, at) {
      id("slices").hidden = deep === null;
      if (deep === null) return;
      id("slice-name").textContent = deep.name;
      id("slice").max = deep.length - 1;
      id("slice").value = at;
      id("slice-at").textContent = withUnit(deep, drawnAt(deep, at));
    },
    say(choice, text, top, layout) {
      id("summary").textContent = text;
      const scaled = mark && summary.job ? "each map divided by its largest" : summary.meaning, unit = scaled ? ` (${scaled})` : "", against = summary.signed ? "against / for" : "for";
      const range = summary.signed ? `-${spelt(top)} to ${spelt(top)}` : `0 to ${spelt(top)}`;
      if (mark && !layout && element("shows").value === "deviation") {
        id("meaning").textContent = `Colour: how far the evidence for ${question(choice)}${unit} deviates over these samples, 0 to ${spelt(top)} in what is shown.`;
        return;
      }
      id("meaning").textContent = `Colour: ${mark ? "mean " : ""}evidence ${against} ${question(choice)}${unit}, ${range}.${mark && layout ? " Lines: the mean, and one deviation to either side." : ""}${heights(layout)}`;
    },
  };
}

function fill(id, names) {
  element(id).replaceChildren(...names.map((name, i) => new Option(name, i)));
  element(id).closest("label").hidden = names.length < 2;
}

function aboutPage({ summary, source }) {
  element("about").replaceChildren(...summary.about.map(([name, value]) => {
    const line = document.createElement("tr"), head = document.createElement("th"), cell = document.createElement("td");
    head.scope = "row";
    [head.textContent, cell.textContent] = [name, value];
    line.append(head, cell);
    return line;
  }));
  const notes = ["Colours follow the raw maps; nothing is normalised, squared or clipped, unless a line above says so.",
    "A long axis is thinned to the width of the figure: lines go through the lowest and highest value of each column, colours show the strongest value.",
    "Mean maps and their deviations (over samples) are those at the layer's own positions, drawn straight between them."];
  if (source === "embedded") notes.push("For this page alone numbers are rounded: a signal to one of 65,535 values from its lowest to its highest, a map to 1/32,767 of its largest, pictures to 256 values, scores to four digits. Saved results keep every digit.");
  element("notes").replaceChildren(...notes.map((text) => { const line = document.createElement("li"); line.textContent = text; return line; }));
}

function tabs(opened) {
  const every = [...document.querySelectorAll("[role=tab]")];
  function open(tab) {
    for (const each of every) {
      each.setAttribute("aria-selected", String(each === tab));
      each.tabIndex = each === tab ? 0 : -1;
      element(each.getAttribute("aria-controls")).hidden = each !== tab;
    }
    return opened(tab.id.slice(4));
  }
  for (const tab of every) tab.addEventListener("click", guarded(() => open(tab)));
  document.querySelector("[role=tablist]").addEventListener("keydown", (event) => {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key], shown = every.filter((each) => !each.hidden);
    if (!by) return;
    const next = shown[(shown.indexOf(event.target) + by + shown.length) % shown.length];
    next.focus();
    next.click();
  });
  return open;
}

async function panelIn(known, source, id, item, name, row) {
  const figure = await figureIn(element(id), item, name), words = wordsOf(known, name === "mean" ? "mean-" : "", row);
  const panel = (known.summary.kind === "signal" ? signalPanel : picturePanel)(known, source, figure, words);
  const colours = () => panel.recolour(known.palettes[isDark() ? "dark" : "light"], known.palettes.picture);
  colours();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", colours);
  return panel;
}

// Says how far a long sample was read, in place of what is said of the figure.
function reader() {
  let said = null;
  return (share) => {
    if (share < 1) {
      said ??= element("summary").textContent;
      element("summary").textContent = `Reading the sample: ${Math.floor(100 * share)} %.`;
    } else if (said !== null) {
      element("summary").textContent = said;
      said = null;
    }
  };
}

async function begin() {
  const known = JSON.parse(element("known").textContent), { summary } = known;
  const source = known.source === "embedded" ? embedded(summary, element("data").textContent) : served(reader());
  let row = null, panel = null, means = null, trust = null, overview = null;
  element("sentence").textContent = summary.sentence;
  element("tab-means").hidden = !summary.groups.length && !summary.scores;
  element("averaged").hidden = !summary.groups.length;
  const chosenIn = (mark) => Object.fromEntries(["target", "method", "layer"].map((name) => [name, Number(element(mark + name).value)]));
  for (const mark of ["", "mean-"]) {
    for (const name of ["target", "method", "layer"]) fill(mark + name, summary[`${name}s`]);
  }
  element("group").replaceChildren(...summary.groups.map(({ name, count }, i) => new Option(`${name} (${count})`, i)));
  for (const id of ["slices", "mean-slices", "shows-label", "own-label"]) element(id).hidden = true;
  for (const id of ["group", "mean-method"]) element(id).closest("label").hidden ||= !summary.groups.length;
  element("same").closest("label").hidden = summary.strongest === null || summary.count === 1;
  element("own-label").hidden = summary.rows.length < 2;
  element("shows-label").hidden = summary.kind === "signal" || !summary.groups.length;
  aboutPage(known);

  function shownSample() {
    if (row === null) return null;
    trusted();
    return panel.show({ sample: row.number, ...chosenIn("") });
  }

  // What the metrics gave of the map shown.
  function trusted() {
    const { scores } = summary;
    element("trusted").hidden = !scores;
    if (scores) element("trusted").textContent = `This map scored: ${scores.names.map((name, i) => `${name} ${scoreOf(row.trusted, i, chosenIn(""))} (${scores.better[i]} is better)`).join(" · ")}.`;
  }

  async function rechosen() {
    await shownSample();
    if (summary.scores) await table.rescored();
  }

  function verdict() {
    const name = (index) => index === null || index === undefined ? null : summary.classes[index] ?? String(index), parts = [];
    if (name(row.label) !== null) parts.push(`true: ${name(row.label)}`);
    if (name(row.predicted) !== null) parts.push(`predicted: ${name(row.predicted)}${row.confidence === null ? "" : ` (${percent(row.confidence)})`}`);
    element("verdict").textContent = parts.join(" · ");
    if (row.label === null || row.predicted === null) return;
    const mark = document.createElement("span");
    mark.className = mark.textContent = row.label === row.predicted ? "right" : "wrong";
    element("verdict").append(" · ", mark);
  }

  async function choose(next) {
    row = next;
    element("name").textContent = `sample ${row.name}`;
    verdict();
    const of = row.label === null ? "" : `, true ${summary.classes[row.label] ?? row.label}`;
    element("figure").setAttribute("aria-label", `Figure of sample ${row.name}${of}; its heat is described below`);
    await shownSample();
    document.documentElement.dataset.sample = row.number;
  }

  async function openMeans() {
    if (summary.scores) (trust ??= await trustOf(known))(chosenIn("mean-"));
    if (!summary.groups.length) return;
    means ??= await panelIn(known, source, "means", known.means, "mean", () => null);
    element("means").setAttribute("aria-label", "Figure of the mean map; its heat is described below");
    const group = Number(element("group").value);
    if (overview) await overview(chosenIn("mean-"), group);
    await means.show({ group, ...chosenIn("mean-") });
  }

  panel = await panelIn(known, source, "figure", known.figure, "map", () => row);
  const table = tableOf(summary, source, guarded(choose), () => chosenIn(""));
  for (const id of ["target", "method", "layer"]) element(id).addEventListener("change", guarded(rechosen));
  for (const id of ["same", "own"]) element(id).addEventListener("change", guarded(shownSample));
  for (const id of ["group", "mean-target", "mean-method", "mean-layer", "shows"]) element(id).addEventListener("change", guarded(openMeans));
  element("slice").addEventListener("input", guarded(() => panel.at(Number(element("slice").value))));
  element("mean-slice").addEventListener("input", guarded(() => means.at(Number(element("mean-slice").value))));
  element("next").addEventListener("click", guarded(() => table.step(1)));
  element("previous").addEventListener("click", guarded(() => table.step(-1)));
  if (summary.job) document.querySelector("[role=tablist]").prepend(element("tab-means"));
  const opened = tabs(guarded((name) => name === "means" ? openMeans() : name === "samples" && summary.job ? shownSample() : null));

  function keys(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName), samples = !element("page-samples").hidden;
    if (!typing && samples && (event.key === "n" || event.key === "p")) guarded(table.step)(event.key === "n" ? 1 : -1);
    const here = event.target.closest?.("#figure") ? panel : event.target.closest?.("#means") ? means : null;
    const act = { ArrowLeft: () => here.zoomed(1, -0.2), ArrowRight: () => here.zoomed(1, 0.2), "+": () => here.zoomed(0.5, 0), "-": () => here.zoomed(2, 0), 0: () => here.everything() }[event.key];
    if (here === null || !act) return;
    event.preventDefault();
    act();
  }
  document.addEventListener("keydown", keys);
  const alone = summary.count === 1;
  for (const id of ["table", "previous", "next"]) element(id).hidden = alone;
  element("page-samples").classList.toggle("alone", alone);
  element("page-samples").classList.toggle("scored", !alone && Boolean(summary.scores));
  await table.open();
  if (summary.job) {
    overview = overviewOf(known, source, (group) => { element("group").value = group; element("group").dispatchEvent(new Event("change")); });
    element("every").hidden = false;
    await opened(element("tab-means"));
  }
  document.documentElement.dataset.ready = performance.now().toFixed(0);
}

begin().catch(told);
