/** Finding by a few typed letters: words in any order, letters of a word in a row or as initials. */

/** How well a text answers the words, higher is better; 0: not at all. */
export function rate(text: string, words: string[]): number {
  const low = text.toLowerCase();
  let sum = 0;
  for (const word of words) {
    const at = low.indexOf(word);
    if (at < 0) {
      if (!initials(text).includes(word)) return 0;
      sum += 1;
      continue;
    }
    const starts = at === 0 || !/[a-z0-9]/.test(low[at - 1]) || /[a-z][A-Z]/.test(text.slice(at - 1, at + 1));
    sum += (starts ? 4 : 2) + word.length / Math.max(8, text.length);
  }
  return sum;
}

/** "SealerFeed in" as "sfi". */
const initials = (text: string): string =>
  text
    .split(/[^A-Za-z0-9]+|(?<=[a-z0-9])(?=[A-Z])/)
    .map((w) => w[0] ?? "")
    .join("")
    .toLowerCase();

/** The best answers, best first; with no words the first of the list. */
export function best<T>(things: readonly T[], query: string, textOf: (t: T) => string, most: number): T[] {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0) return things.slice(0, most);
  return things
    .map((thing) => ({ thing, score: rate(textOf(thing), words) }))
    .filter((r) => r.score > 0)
    .sort((a, b) => b.score - a.score)
    .slice(0, most)
    .map((r) => r.thing);
}
