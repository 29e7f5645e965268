// How far the maps can be trusted: means over all samples beside the baselines, and the curves they come from.
async function trustOf({ summary, palettes, curves: item }) {
  const { scores } = summary, { curves } = scores;
  const figure = item ? await figureIn(element("curves"), item, "curve") : null;
  const look = (method) => method < scores.own ? { colour: palettes.curves[method % palettes.curves.length], dash: "solid" } : { colour: colourOf("faint"), dash: ["dashed", "dotted"][(method - scores.own) % 2] };
  let choice = null;

  function cellOf(what, text) {
    const cell = document.createElement(what);
    cell.textContent = text;
    return cell;
  }

  function told(metric, method) {
    const [mean, low, high, count] = ["mean", "low", "high", "count"].map((name) => scores[name][metric][choice.target][method][choice.layer]);
    if (mean === null) return "-";
    return `${spelt(mean)}${low === null ? "" : ` (${spelt(low)} to ${spelt(high)})`}${count < summary.count ? `, n = ${count}` : ""}`;
  }

  function rowOf(name, method) {
    const line = document.createElement("tr"), head = cellOf("th", ""), key = document.createElement("span"), { colour, dash } = look(method);
    head.scope = "row";
    if (figure) {
      key.className = "key";
      key.style.borderTop = `3px ${dash} ${colour}`;
      head.append(key);
    }
    head.append(name);
    if (method >= scores.own) line.className = "beside";
    line.append(head, ...scores.names.map((_, metric) => cellOf("td", told(metric, method))));
    return line;
  }

  function draw() {
    const number = Number(element("curve").value), ys = scores.methods.map((_, method) => curves.mean[number][choice.target][method][choice.layer].map((each) => each ?? NaN));
    const xs = ys.map(() => curves.removed[choice.layer]), heights = ys.flat().filter(Number.isFinite), looks = scores.methods.map((_, method) => look(method));
    const low = Math.min(...heights), high = Math.max(...heights), space = 0.06 * (high - low || 1);
    figure.begin([0, Math.max(...xs[0]) || 1], [low - space, high + space]);
    figure.curves({ xs, ys, colours: looks.map(({ colour }) => colour), dashes: looks.map(({ dash }) => dash) });
    figure.recolour();
    element("curve-summary").textContent = `Lines: the mean ${curves.measure} over all samples as more is removed, ${curves.names[number]}; colours as in the table.`;
    element("curves").setAttribute("aria-label", `Figure of curves, ${curves.names[number]}`);
  }

  function show(next) {
    choice = next;
    element("trust-meaning").textContent = `Means over all ${summary.count} samples with their 95 % intervals, for the target ${summary.targets[choice.target]} at layer ${summary.layers[choice.layer]}. In grey the baselines that a map must beat.`;
    element("trust-rows").replaceChildren(...scores.methods.map(rowOf));
    if (figure) draw();
  }

  element("trust").hidden = false;
  element("trust-heads").replaceChildren(...["method", ...scores.names].map((name, i) => {
    const head = cellOf("th", name);
    head.scope = "col";
    if (i) head.append(cellOf("small", `${scores.better[i - 1]} is better`));
    return head;
  }));
  element("curve-part").hidden = !figure;
  if (figure) {
    fill("curve", curves.names);
    element("curve").addEventListener("change", guarded(draw));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => show(choice));
  }
  return show;
}
