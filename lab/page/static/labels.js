// Where the labels of a chart go, so that none lies on another.
//
// Takes   wishes { x, y, width, height } in pixels, best first, and boxes that must not be covered
// Gives   Nightlab.place(wishes, frame, solid): a box for each wish, or null where nothing is free
"use strict";
(() => {
  const N = window.Nightlab;
  // Seen from the point, best first: the running best falls to the right, so what is under it to the left is free.
  const DIRECTIONS = [[-1, 1], [1, -1], [0, 1], [-1, 0], [1, 1], [0, -1], [1, 0], [-1, -1]];
  const DISTANCES = [9, 18, 30, 46, 66, 90];
  const GAP_X = 10;
  const GAP_Y = 3;

  N.place = (wishes, frame, solid) => {
    const taken = [];
    return wishes.map((wish) => {
      for (const distance of DISTANCES) {
        for (const [right, down] of DIRECTIONS) {
          const box = boxAt(wish, right, down, distance);
          if (inside(frame, box) && !taken.some((other) => touches(box, other, GAP_X, GAP_Y)) &&
              !solid.some((other) => touches(box, other, 0, 0))) {
            taken.push(box);
            return box;
          }
        }
      }
      return null;
    });
  };

  function boxAt(wish, right, down, distance) {
    const reach = distance / Math.hypot(right, down);
    const x = wish.x + right * (reach + wish.width / 2) - wish.width / 2;
    const y = wish.y + down * (reach + wish.height / 2) - wish.height / 2;
    return { x0: x, y0: y, x1: x + wish.width, y1: y + wish.height };
  }
  function inside(frame, box) {
    return box.x0 >= frame.x0 && box.y0 >= frame.y0 && box.x1 <= frame.x1 && box.y1 <= frame.y1;
  }
  function touches(a, b, gapX, gapY) {
    return a.x0 < b.x1 + gapX && b.x0 < a.x1 + gapX && a.y0 < b.y1 + gapY && b.y0 < a.y1 + gapY;
  }
})();
