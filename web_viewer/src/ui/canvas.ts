/**
 * Make what draws on canvases of its own with canvases that live in memory.
 *
 * A canvas on the graphics card is a layer of the page, which is composed anew with every picture of the scene: eight small
 * charts then cost a processor that draws the graphics itself half as much again. They change once a second.
 */
export function inMemory<T>(make: () => T): T {
  const canvas = HTMLCanvasElement.prototype;
  const usual = canvas.getContext;
  canvas.getContext = function (this: HTMLCanvasElement, kind: string, options?: object) {
    return Reflect.apply(usual, this, [kind, { ...options, willReadFrequently: true }]) as null;
  } as typeof usual;
  try {
    return make();
  } finally {
    canvas.getContext = usual;
  }
}
