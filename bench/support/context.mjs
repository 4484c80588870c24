/** What a run was asked for, and how it tells what it is doing. */
export class Context {
  /** @param {{ quick: boolean, rounds?: number, progress?: (text: string) => void }} options */
  constructor({ quick, rounds, progress = () => {} }) {
    this.quick = quick;
    this.progress = progress;
    this.#rounds = rounds;
  }

  #rounds;

  /** Rounds of a row, unless the user said how many. */
  rounds(full, quick = 2) {
    return this.#rounds ?? this.pick(full, quick);
  }

  /** A size for a full run, and one that shows in a minute whether everything works. */
  pick(full, quick) {
    return this.quick ? quick : full;
  }
}

/** In turn forwards and backwards, so that nobody always follows the same one. */
export function inTurn(contestants, round) {
  return round % 2 === 0 ? contestants : [...contestants].reverse();
}
