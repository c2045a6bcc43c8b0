"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const $ = (id) => document.getElementById(id);

  // The table: sorted by a click on a header, filtered by what is searched for.
  const table = document.querySelector("table");
  const bodies = [...table.tBodies];
  table.tHead.addEventListener("click", (event) => {
    const header = event.target.closest("th");
    if (!event.target.closest("button")) return;
    const down = header.getAttribute("aria-sort") !== "descending";
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", down ? "descending" : "ascending");
    const column = header.cellIndex;
    const key = (body) => {
      const cell = body.rows[0].cells[column];
      return cell.dataset.value === undefined ? cell.textContent : Number(cell.dataset.value);
    };
    const compare = (a, b) => (typeof a === "number" ? a - b : a.localeCompare(b));
    bodies.sort((a, b) => compare(key(a), key(b)) * (down ? -1 : 1));
    table.append(...bodies);
  });

  const search = $("search");
  const matches = () => search.value.trim().toLowerCase();
  search.addEventListener("input", () => {
    const text = matches();
    let shown = 0;
    for (const body of bodies) {
      body.hidden = !body.textContent.toLowerCase().includes(text);
      shown += !body.hidden;
    }
    $("found").textContent = text ? `${shown} of ${bodies.length}` : "";
    draw();
  });
  $("find").hidden = false;

  // The flame graph: a tree of all stacks, the outermost frame on top.
  const bytes = (size) => {
    const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let unit = 0;
    while (size >= 1024 && unit < units.length - 1) { size /= 1024; unit += 1; }
    return `${unit && size < 100 ? size.toFixed(1) : Math.round(size)} ${units[unit]}`;
  };
  let internals = $("internals").getAttribute("aria-pressed") === "true";
  const folded = (stack) => {
    const frames = [];
    let at = 0;
    for (const [start, end, name] of stack.runs) {
      frames.push(...stack.frames.slice(at, start), name);
      at = end;
    }
    return [...frames, ...stack.frames.slice(at)];
  };
  const grow = (weight) => {
    const root = { name: "all", size: 0, children: new Map(), parent: null };
    for (const stack of data.stacks) {
      const size = stack[weight];
      if (!size) continue;
      let node = root;
      root.size += size;
      for (const frame of internals ? stack.frames : folded(stack)) {
        let child = node.children.get(frame);
        if (!child) {
          child = { name: data.frames[frame], size: 0, children: new Map(), parent: node };
          node.children.set(frame, child);
        }
        child.size += size;
        node = child;
      }
    }
    return root;
  };
  const graph = $("graph");
  let weight = "outstanding";
  let root = grow(weight);
  let focus = root;

  const hue = (name) => {
    let sum = 0;
    for (const letter of name) sum = (sum * 31 + letter.charCodeAt(0)) % 997;
    return 12 + (sum % 40);
  };
  const add = (node, depth, left, width, above) => {
    const box = document.createElement("button");
    const share = root.size ? (100 * node.size) / root.size : 0;
    box.type = "button";
    box.className = above ? "box above" : "box";
    box.textContent = width > 2 ? node.name : "";
    box.title = `${node.name}\n${bytes(node.size)} (${share.toFixed(1)} %)`;
    box.style.top = `${depth * 20}px`;
    box.style.left = `${left}%`;
    box.style.width = `${width}%`;
    box.style.background = `hsl(${hue(node.name)} 85% var(--flame-light))`;
    const text = matches();
    if (text && node.name.toLowerCase().includes(text)) box.classList.add("found");
    box.addEventListener("click", () => { focus = node; draw(); });
    graph.append(box);
  };
  const draw = () => {
    graph.replaceChildren();
    const way = [];
    for (let node = focus.parent; node; node = node.parent) way.unshift(node);
    way.forEach((node, depth) => add(node, depth, 0, 100, true));
    let deepest = way.length;
    // Without recursion: a stack may be thousands of frames deep.
    const todo = [[focus, way.length, 0, 100]];
    while (todo.length) {
      const [node, depth, left, width] = todo.pop();
      add(node, depth, left, width, false);
      deepest = Math.max(deepest, depth);
      let at = left;
      for (const child of [...node.children.values()].sort((a, b) => b.size - a.size)) {
        const part = (width * child.size) / node.size;
        if (part > 0.1) todo.push([child, depth + 1, at, part]);
        at += part;
      }
    }
    graph.style.height = `${(deepest + 1) * 20}px`;
    $("reset").hidden = focus === root;
  };
  $("reset").addEventListener("click", () => { focus = root; draw(); });
  for (const button of document.querySelectorAll("[data-weight]")) {
    button.addEventListener("click", () => {
      weight = button.dataset.weight;
      for (const other of document.querySelectorAll("[data-weight]")) {
        other.setAttribute("aria-pressed", String(other === button));
      }
      root = focus = grow(weight);
      draw();
    });
  }
  $("internals").hidden = !data.stacks.some((stack) => stack.runs.length);
  $("internals").addEventListener("click", (event) => {
    internals = !internals;
    event.target.setAttribute("aria-pressed", String(internals));
    for (const run of document.querySelectorAll(".run details")) run.open = internals;
    root = focus = grow(weight);
    draw();
  });
  if (data.stacks.length) {
    $("flame").hidden = false;
    draw();
  }
})();
