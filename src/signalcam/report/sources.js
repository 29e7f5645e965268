// Where a page's numbers come from: packed into it, or asked of a server. Both answer the same questions.

function embedded(summary, text) {
  const { samples, groups, geometry } = summary.packed, starts = [0];
  for (const length of [...samples, ...groups]) starts.push(starts[starts.length - 1] + length);
  let kept = { number: -1 };

  function record(choice) {
    const number = choice.group === undefined ? choice.sample : samples.length + choice.group;
    if (kept.number !== number) kept = { number, bytes: bytesOf(text.slice(starts[number], starts[number + 1])) };
    const shape = choice.group === undefined ? geometry[choice.sample] || geometry[0] : geometry[0];
    return { buffer: kept.bytes.buffer, shape, mean: choice.group !== undefined };
  }

  // Where each array of a record begins, in bytes, and its scale.
  function maps({ buffer, shape, mean }, choice) {
    const lines = mean ? 0 : summary.kind === "signal" ? shape.rows : 1, times = mean ? 2 : 1;
    const sizes = shape.layers.map((each) => each.rows * each.grid.reduce((size, axis) => size * axis[2], 1));
    const count = summary.targets.length * summary.methods.length * sizes.length;
    const scales = new Float64Array(buffer, 0, 2 * lines + times * count);
    const place = (choice.target * summary.methods.length + choice.method) * sizes.length + choice.layer;
    const each = sizes.reduce((sum, size) => sum + size, 0) * times;
    let at = 8 * scales.length + 2 * each * (choice.target * summary.methods.length + choice.method);
    for (let y = 0; y < choice.layer; y++) at += 2 * times * sizes[y];
    const after = 8 * scales.length + 2 * each * summary.targets.length * summary.methods.length;
    const found = [];
    for (let n = 0; n < times; n++) {
      const values = new Int16Array(buffer, at + 2 * n * sizes[choice.layer], sizes[choice.layer]);
      const step = scales[2 * lines + times * place + n];
      found.push((i) => values[i] === BLANK ? NaN : values[i] * step);
    }
    return { found, layer: shape.layers[choice.layer], scales, after };
  }

  function tile(choice, from, to, most) {
    const own = record(choice), axis = summary.axes[0], length = own.shape.lengths[0];
    const ends = [from, to].map((place) => (place - axis.start) / axis.step).sort((a, b) => a - b);
    const first = Math.min(Math.max(Math.floor(ends[0]), 0), length - 1), last = Math.min(Math.max(Math.ceil(ends[1]), first), length - 1);
    const columns = columnsOf(first, last, most), { found, layer, scales, after } = maps(own, choice), grid = layer.grid[0];
    const heat = [], low = [], high = [];
    for (let row = 0; row < layer.rows; row++) {
      const cells = (cell) => found[0](row * grid[2] + cell), spread = (cell) => found[1](row * grid[2] + cell);
      heat.push(Float32Array.from(columns, ([a, b]) => strongestOf(turns(grid, a, b).map((entry) => valueAt(cells, grid, entry)))));
      if (!own.mean) continue;
      const middle = columns.map(([a, b]) => Math.round((a + b) / 2));
      low.push(Float32Array.from(middle, (entry) => valueAt(cells, grid, entry) - valueAt(spread, grid, entry)));
      high.push(Float32Array.from(middle, (entry) => valueAt(cells, grid, entry) + valueAt(spread, grid, entry)));
    }
    for (let row = 0; !own.mean && row < own.shape.rows; row++) {
      const values = new Int16Array(own.buffer, after + 2 * row * length, length);
      const [least, step] = scales.subarray(2 * row, 2 * row + 2), lows = new Float32Array(columns.length), highs = new Float32Array(columns.length);
      columns.forEach(([a, b], k) => {
        let lowest = Infinity, highest = -Infinity;
        for (let i = a; i <= b; i++) {
          if (values[i] === BLANK) continue;
          if (values[i] < lowest) lowest = values[i];
          if (values[i] > highest) highest = values[i];
        }
        lows[k] = lowest === Infinity ? NaN : least + (lowest + 32767) * step;
        highs[k] = lowest === Infinity ? NaN : least + (highest + 32767) * step;
      });
      low.push(lows);
      high.push(highs);
    }
    return { x: Float64Array.from(columns, ([a, b]) => drawnAt(axis, (a + b) / 2)), low, high, heat };
  }

  function slice(choice, wanted) {
    const own = record(choice), { found, layer, after } = maps(own, choice);
    const deep = layer.grid.length === 3 ? layer.grid[0] : [0, 1, 1, null, null], [up, across] = layer.grid.slice(-2);
    const [height, width] = own.shape.lengths.slice(-2), depth = layer.grid.length === 3 ? own.shape.lengths[0] : 1;
    let strongest = 0, peak = 0;
    for (let cell = 0; cell < deep[2] * up[2] * across[2]; cell++) {
      const size = Math.abs(found[0](cell));
      if (size > strongest) [strongest, peak] = [size, Math.floor(cell / (up[2] * across[2]))];
    }
    const at = Math.min(Math.max(Math.round(deep[0] + deep[1] * peak), 0), depth - 1), shown = wanted < 0 ? at : wanted;
    const cut = (values) => sliceOf((y, x) => valueAt((z) => values((z * up[2] + y) * across[2] + x), deep, shown), [up, across], [height, width]);
    const planes = own.mean ? 0 : own.shape.rows, picture = new Uint8Array(planes * height * width);
    for (let plane = 0; plane < planes; plane++) {
      const from = after + (plane * depth + shown) * height * width;
      picture.set(new Uint8Array(own.buffer, from, height * width), plane * height * width);
    }
    return { picture, planes, heat: cut(found[0]), deviation: own.mean ? cut(found[1]) : null, strongest, at };
  }

  return {
    tile: async (...asked) => tile(...asked),
    slice: async (...asked) => slice(...asked),
    samples: async (query) => chosen(summary.samples, query),
  };
}

// Rows of a table that is held here: filtered, sorted, from an offset on.
function chosen(table, query) {
  const value = (name, i) => table[name] === null ? null : table[name][i], text = query.text.toLowerCase();
  const outcome = (i) => value("label", i) === null || value("predicted", i) === null ? "" : value("label", i) === value("predicted", i) ? "right" : "wrong";
  const numbers = table.name.map((_, i) => i).filter((i) =>
    (!text || table.name[i].toLowerCase().includes(text)) && (query.predicted === "" || value("predicted", i) === Number(query.predicted))
    && (!query.outcome || outcome(i) === query.outcome) && (query.least === "" || value("confidence", i) >= query.least)
    && (query.most === "" || value("confidence", i) <= query.most));
  const key = query.sort === "number" ? (i) => i : query.sort === "metric" ? (i) => table.trusted[i][query.metric][query.target][query.method][query.layer] : (i) => value(query.sort, i);
  const rank = (a, b) => typeof a === "string" ? a.localeCompare(b, undefined, { numeric: true }) : a - b, none = (i) => Number(key(i) === null);
  numbers.sort((a, b) => none(a) - none(b) || (query.descending ? -1 : 1) * rank(key(a), key(b)) || a - b);
  const rows = numbers.slice(query.offset, query.offset + query.limit).map((number) => ({
    number, name: table.name[number], predicted: value("predicted", number), confidence: value("confidence", number),
    label: value("label", number), asked: table.asked[number], score: table.score[number], words: value("words", number), trusted: value("trusted", number),
  }));
  return { count: numbers.length, rows };
}

function served(progress) {
  async function ask(what, query) {
    const answer = await fetch(`${what}?${new URLSearchParams(query)}`).catch(() => null);
    if (answer === null) throw new Error("signalcam view has ended; start it again.");
    if (!answer.ok) throw new Error(await answer.text());
    return answer.json();
  }
  const floats = (text, Kind = Float32Array) => new Kind(bytesOf(text).buffer);

  function rows(text, length) {
    const all = floats(text);
    return Array.from({ length: all.length / length }, (_, row) => all.subarray(row * length, (row + 1) * length));
  }

  return {
    // A long sample is read while the page waits: each answer says how far that came.
    async tile(choice, from, to, columns) {
      for (;;) {
        const answer = await ask("tile", { ...choice, from, to, columns }), x = floats(answer.x, Float64Array);
        progress(answer.done);
        if (answer.done === 1) return { x, low: rows(answer.low, x.length), high: rows(answer.high, x.length), heat: rows(answer.heat, x.length) };
      }
    },
    async slice(choice, at) {
      const answer = await ask("slice", { ...choice, at });
      return { ...answer, picture: bytesOf(answer.picture), heat: floats(answer.heat), deviation: answer.deviation ? floats(answer.deviation) : null };
    },
    samples: (query) => ask("samples", query),
  };
}
