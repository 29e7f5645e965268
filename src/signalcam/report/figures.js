// The figures: Bokeh draws, this fills what it draws.

const THICK = 1.25; // pixels of a line from low to high: thinner ones leave gaps that look like a pattern
const ROW = 0.46; // of a row's height that the largest swing may fill, to either side

function colourOf(name) { return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim(); }

function isDark() { return matchMedia("(prefers-color-scheme: dark)").matches; }

// A figure in an element: the models of it by name, its size, and what happens where it is moved or pointed at.
async function figureIn(element, item, name) {
  await Bokeh.embed.embed_item(item, element);
  const doc = Bokeh.documents[Bokeh.documents.length - 1], model = (part) => doc.get_model_by_name(part ? `${name}-${part}` : name);
  const across = model("across"), up = model("up"), { ndarray } = Bokeh.require("core/util/ndarray");

  function recolour(palette) {
    const ink = colourOf("ink"), faint = colourOf("faint");
    for (const axis of [model("x"), model("y")]) {
      axis.setv({ axis_line_color: faint, major_tick_line_color: faint, major_label_text_color: ink, axis_label_text_color: ink });
    }
    model("bar")?.setv({ major_label_text_color: ink, major_tick_line_color: faint });
    model("cross")?.setv({ line_color: faint });
    const line = model("line");
    if (line) line.setv({ line_color: colourOf("line") });
    if (palette) model("colours").palette = palette;
  }

  function ticks(which, places) {
    const axis = model(which);
    axis.major_label_overrides = new Map(places);
    axis.ticker.ticks = places.map(([place]) => place);
  }

  function picture(heights, x, rows) {
    const dw = stepOf(x, rows.step), values = new Float32Array(heights.length * x.length);
    heights.forEach((each, row) => values.set(each, (heights.length - 1 - row) * x.length));
    const left = x[0] - dw / 2, right = x[x.length - 1] + dw / 2;
    return { image: [ndarray(values, { dtype: "float32", shape: [heights.length, x.length] })], x: [left], y: [rows.bottom], dw: [right - left], dh: [rows.top - rows.bottom] };
  }

  return {
    recolour,
    width: () => Math.max(Math.round(element.clientWidth - 120), 100),
    window: () => [across.start, across.end],
    fit: (width) => { element.style.maxWidth = `${Math.round(width)}px`; },
    height: (px) => { model().height = px; },
    move(from, to, ends) {
      const span = Math.min(to - from, ends[1] - ends[0]), start = Math.min(Math.max(from, ends[0]), ends[1] - span);
      across.setv({ start, end: start + span });
    },
    begin(ends, heights) {
      across.setv({ start: ends[0], end: ends[1], bounds: ends, reset_start: ends[0], reset_end: ends[1] });
      up.setv({ start: heights[0], end: heights[1], reset_start: heights[0], reset_end: heights[1] });
    },
    heights(low, high) { up.setv({ start: low, end: high, reset_start: low, reset_end: high }); },
    scale(low, high) {
      model("colours").setv({ low, high });
      ticks("bar", ticksOf({ places: null, clock: false }, low, high, 5));
    },
    ticks,
    strips(heat, x, rows) { model("heat").data = picture(heat, x, rows); },
    lines(xs, ys, widths) { model("lines").data = { xs, ys, widths }; },
    curves(data) { model("lines").data = data; },
    pixels(values, [height, width], place) {
      model("lines").data = { image: [ndarray(values, { dtype: "uint32", shape: [height, width] })], ...place };
    },
    blanket(values, [height, width], place) {
      model("heat").data = { image: [ndarray(values, { dtype: "float32", shape: [height, width] })], ...place };
    },
    moved(call) { for (const part of ["start", "end"]) across.properties[part].change.connect(call); },
    pointed(call) { model().on_event("mousemove", ({ x, y }) => call(x, y)); model().on_event("mouseleave", () => call(null)); },
  };
}

// How the lines of a signal are laid out: their own axis where there is one, else a row each.
function laidOut(full, own) {
  const rows = full.low.length, middles = [], swings = [];
  for (let row = 0; row < rows; row++) {
    const low = full.low[row].filter(Number.isFinite), high = full.high[row].filter(Number.isFinite);
    const centres = Float32Array.from(low, (each, i) => (each + high[i]) / 2).sort();
    const middle = centres.length ? centres[centres.length >> 1] : 0;
    middles.push(middle);
    let swing = 0;
    for (let i = 0; i < low.length; i++) swing = Math.max(swing, Math.abs(low[i] - middle), Math.abs(high[i] - middle));
    swings.push(swing);
  }
  const largest = Math.max(...swings) || 1;
  if (rows === 1) {
    const pad = 1.08 * largest;
    let low = Infinity, high = -Infinity;
    for (const each of full.low[0]) if (each < low) low = each;
    for (const each of full.high[0]) if (each > high) high = each;
    if (low > high) [low, high] = [-1, 1];
    const space = 0.08 * (high - low || pad);
    return { rows, swings, place: (_, value) => value, ends: [low - space, high + space], value: largest };
  }
  const gains = swings.map((swing) => ROW / ((own ? swing : largest) || 1));
  return {
    rows, swings, ends: [-0.5, rows - 0.5], value: largest,
    place: (row, value) => rows - 1 - row + (value - middles[row]) * gains[row],
  };
}

// A line through the lowest and highest value of every column.
function pathOf(tile, row, place) {
  const { x } = tile, low = tile.low[row], high = tile.high[row];
  let plain = true;
  for (let i = 0; i < x.length && plain; i++) plain = low[i] === high[i] || Number.isNaN(low[i]);
  if (plain) return [x, Float64Array.from(low, (value) => place(row, value)), 1];
  const xs = new Float64Array(2 * x.length), ys = new Float64Array(2 * x.length);
  for (let i = 0; i < x.length; i++) {
    const ends = i % 2 ? [high[i], low[i]] : [low[i], high[i]];
    for (const n of [0, 1]) [xs[2 * i + n], ys[2 * i + n]] = [x[i], place(row, ends[n])];
  }
  return [xs, ys, THICK];
}

// The mean, and what lies a deviation below and above it.
function bandOf(tile, row, place) {
  const low = tile.low[row], high = tile.high[row], path = (values, width) => [tile.x, Float64Array.from(values, (value) => place(row, value)), width];
  return [path(low, 0.7), path(low.map((each, i) => (each + high[i]) / 2), 2), path(high, 0.7)];
}

// Grey or colour, as Bokeh takes it: the first row below, red in the lowest byte.
function coloursOf(picture, planes, [height, width]) {
  const size = height * width, values = new Uint32Array(size);
  for (let i = 0; i < size; i++) {
    const [red, green, blue] = planes === 3 ? [picture[i], picture[size + i], picture[2 * size + i]] : [picture[i], picture[i], picture[i]];
    values[i] = planes ? (255 << 24 | blue << 16 | green << 8 | red) >>> 0 : 0;
  }
  return values;
}
