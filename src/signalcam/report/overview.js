// What a job has summed up: of each group how many samples it has, and a small picture of its mean map.
function overviewOf({ summary, palettes }, source, open) {
  const rows = element("every-rows"), signal = summary.kind === "signal", [up, across] = summary.axes.slice(-2), long = signal ? summary.axes[0] : across;
  let found = [], turn = 0;

  function sentence({ samples, failed, reasons, others }) {
    const explained = (samples - failed).toLocaleString("en"), most = reasons.map(([reason, count]) => `${reason} (${count.toLocaleString("en")})`);
    element("job-said").textContent = `${explained} of ${samples.toLocaleString("en")} samples are explained${failed ? "; why the others are not, the most frequent reason first:" : "."}`;
    element("job-reasons").replaceChildren(...most.concat(others ? [`and ${others} other reasons`] : []).map((text) => { const line = document.createElement("li"); line.textContent = text; return line; }));
    const shown = summary.count < samples ? `The first ${summary.count} of ${samples.toLocaleString("en")} samples; signalcam view shows any of them.` : "";
    element("first").hidden = !shown;
    element("first").textContent = shown;
  }

  async function ask(choice) {
    if (!signal) {
      const { heat } = await source.slice(choice, -1), size = [up.length, across.length], values = turned(heat, size, [up, across]);
      return { size, values, at: heat };
    }
    const [from, to] = edgesOf(long), { x, heat, low, high } = rising(await source.tile(choice, from, to, 400)), values = new Float32Array(heat.length * x.length);
    heat.forEach((row, i) => values.set(row, i * x.length));
    return { size: [heat.length, x.length], values, x, path: heat.length === 1 ? low[0].map((each, i) => (each + high[0][i]) / 2) : null };
  }

  // Where the mean is strongest, in words.
  function place({ values, size, x, at }) {
    const cells = at ?? values, best = cells.reduce((most, value, i) => Math.abs(value) > Math.abs(cells[most]) ? i : most, 0);
    if (!cells[best]) return "-";
    if (signal) return `${long.name} ${withUnit(long, x[best % size[1]], stepOf(x, Math.abs(long.step)))}`;
    return `${up.name} ${withUnit(up, drawnAt(up, Math.floor(best / size[1])))}, ${across.name} ${withUnit(across, drawnAt(across, best % size[1]))}`;
  }

  function draw() {
    const top = Math.max(...found.map(({ values }) => Math.abs(strongestOf(values)) || 0)) || 1, palette = signal ? palettes[isDark() ? "dark" : "light"] : palettes.picture;
    const colours = (summary.signed ? palette.two : palette.one).map((each) => [1, 3, 5, 7].map((i) => each.length > i ? parseInt(each.slice(i, i + 2), 16) : 255));
    found.forEach(({ canvas, size: [height, width], values, path }) => {
      const small = new OffscreenCanvas(width, height), image = new ImageData(width, height), upside = !signal && across.name === "time";
      values.forEach((value, i) => {
        const share = summary.signed ? (value + top) / (2 * top) : value / top, row = Math.floor(i / width), y = upside ? height - 1 - row : row;
        const colour = Number.isFinite(value) ? colours[Math.min(Math.max(Math.round(share * (colours.length - 1)), 0), colours.length - 1)] : [0, 0, 0, 0];
        image.data.set(colour, 4 * (y * width + i % width));
      });
      small.getContext("2d").putImageData(image, 0, 0);
      const pen = canvas.getContext("2d"), [w, h] = [canvas.width, canvas.height];
      pen.clearRect(0, 0, w, h);
      pen.imageSmoothingEnabled = false;
      pen.drawImage(small, 0, 0, w, h);
      if (!path) return;
      pen.strokeStyle = colourOf("line");
      pen.lineWidth = 2;
      pen.beginPath();
      path.forEach((value, i) => pen.lineTo((i + 0.5) * w / path.length, h - 3 - (h - 6) * (summary.signed ? (value + top) / (2 * top) : value / top)));
      pen.stroke();
    });
  }

  function row({ name, count }, group) {
    const line = document.createElement("tr"), head = document.createElement("th"), button = document.createElement("button"), [many, picture, strongest] = ["td", "td", "td"].map((what) => document.createElement(what)), canvas = document.createElement("canvas");
    head.scope = "row";
    button.textContent = name;
    button.addEventListener("click", () => open(group));
    head.append(button);
    many.textContent = count.toLocaleString("en");
    many.className = "sure";
    const shape = signal ? 0 : up.length / across.length;
    [canvas.width, canvas.height] = signal ? [800, 88] : shape > 1 ? [Math.round(192 / shape), 192] : [Math.min(Math.round(192 / shape), 600), 192];
    canvas.style.width = `${canvas.width / 2}px`;
    canvas.setAttribute("aria-hidden", "true");
    picture.append(canvas);
    line.append(head, many, picture, strongest);
    return { line, canvas, strongest, group };
  }

  sentence(summary.job);
  element("job").hidden = false;
  const lines = summary.groups.map(row);
  rows.replaceChildren(...lines.map(({ line }) => line));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);

  return async function show(choice, group) {
    const mine = ++turn, asked = await Promise.all(lines.map(async (each) => ({ ...each, ...await ask({ ...choice, group: each.group }) })));
    if (mine !== turn) return;
    found = asked;
    found.forEach((each) => {
      each.strongest.textContent = place(each);
      if (each.group === group) each.line.setAttribute("aria-current", "true");
      else each.line.removeAttribute("aria-current");
    });
    draw();
    rows.dataset.turn = turn;
  };
}
