"use strict";
// Numbers: from the text of a page to values, between a layer's positions, and how they are written.

const BLANK = -32768;

function bytesOf(text) {
  const raw = atob(text), bytes = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
  return bytes;
}

// Where an entry of the input lies among a layer's positions: the one below it and the share of the next; null where
// the network saw nothing.
function between([start, jump, cells, first, last], entry) {
  if ((first !== null && entry < first) || (last !== null && entry > last)) return null;
  const place = Math.min(Math.max((entry - start) / jump, 0), cells - 1), low = Math.floor(place);
  return [low, Math.min(low + 1, cells - 1), place - low];
}

// One row of a map, at any entry: straight between its positions.
function valueAt(cells, grid, entry) {
  const found = between(grid, entry);
  if (found === null) return 0;
  const below = cells(found[0]), above = cells(found[1]);
  return below + (above - below) * found[2];
}

// Entries among which a row is largest or smallest: the ends, and what lies beside the centres in between.
function turns([start, jump, cells, first, last], from, to) {
  const entries = [from, to];
  for (const edge of [first, last]) if (edge !== null) entries.push(edge - 1, edge, edge + 1);
  const least = Math.max(Math.ceil((from - start) / jump), 0), most = Math.min(Math.floor((to - start) / jump), cells - 1);
  for (let cell = least; cell <= most; cell++) {
    const centre = start + jump * cell;
    entries.push(Math.floor(centre), Math.ceil(centre));
  }
  return entries.filter((entry) => entry >= from && entry <= to);
}

// From which to which entry the columns of a drawing go.
function columnsOf(first, last, most) {
  const count = last - first + 1, columns = Math.min(Math.max(most, 1), count);
  return Array.from({ length: columns }, (_, k) => [
    first + Math.floor(k * count / columns), first + Math.floor((k + 1) * count / columns) - 1,
  ]);
}

// From one column to the next; columns hold whole entries, so one may be wider than another.
function stepOf(x, alone) { return x.length > 1 ? (x[x.length - 1] - x[0]) / (x.length - 1) : alone; }

function strongestOf(values) {
  let found = NaN;
  for (const each of values) if (!(Math.abs(each) <= Math.abs(found)) && Number.isFinite(each)) found = each;
  return found;
}

// Both axes of a slice of a map: straight between positions along each.
function sliceOf(cells, [up, across], [height, width]) {
  const heat = new Float32Array(height * width), columns = Array.from({ length: width }, (_, x) => between(across, x));
  for (let y = 0; y < height; y++) {
    const row = between(up, y);
    if (row === null) continue;
    const [top, bottom, down] = row;
    for (let x = 0; x < width; x++) {
      if (columns[x] === null) continue;
      const [left, right, along] = columns[x];
      const upper = cells(top, left) + (cells(top, right) - cells(top, left)) * along;
      const lower = cells(bottom, left) + (cells(bottom, right) - cells(bottom, left)) * along;
      heat[y * width + x] = upper + (lower - upper) * down;
    }
  }
  return heat;
}

function spelt(value, digits = 3) {
  if (!Number.isFinite(value)) return "nothing";
  if (value === 0) return "0";
  const size = Math.abs(value);
  return size >= 1e5 || size < 1e-3 ? value.toExponential(digits - 1) : String(Number(value.toPrecision(digits)));
}

// What a metric gave of one map, of all that are known of a sample.
function scoreOf(known, metric, { target, method, layer }) {
  const value = known?.[metric][target][method][layer] ?? null;
  return value === null ? "-" : spelt(value);
}

// A confidence that never claims certainty: rounding made the 1.
function percent(share) {
  if (share === null || share === undefined) return "";
  const text = (100 * share).toFixed(1);
  return text === "100.0" ? "> 99.9 %" : `${text} %`;
}

// Axes: where an entry is drawn, and what is said of that place.
function drawnAt(axis, entry) { return axis.start + axis.step * entry; }

function entryAt(axis, place) {
  return Math.min(Math.max(Math.round((place - axis.start) / axis.step), 0), axis.length - 1);
}

function clock(seconds, step) {
  const decimals = step < 1 ? Math.min(Math.ceil(-Math.log10(step) - 1e-9), 6) : 0, sign = seconds < 0 ? "-" : "";
  const unit = 10 ** decimals, all = Math.round(Math.abs(seconds) * unit) / unit;
  const h = Math.floor(all / 3600), m = Math.floor(all / 60) % 60, s = (all % 60).toFixed(decimals);
  return `${sign}${h}:${String(m).padStart(2, "0")}:${decimals ? s.padStart(3 + decimals, "0") : s.padStart(2, "0")}`;
}

// As many decimals as a step has, or as many as tell two steps apart where it has no end.
function decimalsOf(step) {
  const enough = Math.max(Math.ceil(-Math.log10(step)), 0), ends = (decimals) => Math.abs(step * 10 ** decimals - Math.round(step * 10 ** decimals)) < 1e-6;
  return [0, 1].map((more) => enough + more).find(ends) ?? enough;
}

// What is said of a place: h:m:s on long records, the true value where entries are drawn side by side.
function said(axis, place, step = Math.abs(axis.step)) {
  if (axis.places !== null) {
    const value = axis.places[entryAt(axis, place)];
    return typeof value === "number" ? spelt(value, 4) : String(value);
  }
  if (axis.clock) return clock(place, step);
  return String(Number(place.toFixed(decimalsOf(step))));
}

function withUnit(axis, place, step = Math.abs(axis.step)) {
  const text = said(axis, place, step);
  return axis.unit && !axis.clock ? `${text} ${axis.unit}` : text;
}

// Where entries are drawn side by side though their places grow: at 1, 2 and 5 times powers of ten, where there is room.
function roundEntries(places, from, to, most) {
  const found = [], least = (to - from) / Math.max(most, 1), rising = places[0] < places[places.length - 1];
  const low = Math.min(places[0], places[places.length - 1]), high = Math.max(places[0], places[places.length - 1]);
  for (const times of [1, 5, 2]) {
    for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++) {
      const value = Number((times * 10 ** power).toPrecision(3));
      if (value < low || value > high) continue;
      const after = places.findIndex((each) => rising ? each >= value : each <= value), before = Math.max(after - 1, 0);
      const at = after === before ? after : before + (value - places[before]) / (places[after] - places[before]);
      if (at >= from && at <= to && found.every(([other]) => Math.abs(other - at) >= least)) found.push([at, spelt(value)]);
    }
  }
  return found;
}

// Round places between two ends, about as many as fit.
function ticksOf(axis, from, to, most) {
  if (axis.places !== null && axis.places.every((each) => each > 0)) {
    const found = roundEntries(axis.places, Math.min(from, to), Math.max(from, to), most);
    if (found.length > 2) return found;
  }
  const low = Math.min(from, to), high = Math.max(from, to), wish = (high - low) / Math.max(most, 1);
  const power = 10 ** Math.floor(Math.log10(wish || 1));
  let steps = [1, 2, 5, 10].map((each) => each * power);
  if (axis.clock && wish > 1) steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400];
  let step = steps.find((each) => each >= wish) || steps[steps.length - 1];
  if (axis.places !== null) step = Math.max(1, Math.round(step));
  const ticks = [];
  for (let n = Math.ceil(low / step - 1e-9); n * step <= high + 1e-9 * step; n++) ticks.push(n * step);
  return ticks.map((place) => [place, said(axis, place, step)]);
}
