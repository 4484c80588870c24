import { describe, expect, it } from "vitest";
import { RingBudget } from "../../../src/staging/ring-budget.js";

const MIB = 1 << 20;
const ASKED = { slots: 32, slotBytes: 16 * MIB };

describe("the budget of rings", () => {
  it("gives eight clients of the usual size what they ask for", () => {
    const budget = new RingBudget(8192 * MIB);
    for (let client = 0; client < 8; client++) expect(budget.take(ASKED).slots).toBe(32);
    expect(budget.usedBytes).toBe(4096 * MIB);
  });

  it("gives nobody more than half of what is left, so that others find something", () => {
    const budget = new RingBudget(1024 * MIB);
    expect(budget.take({ slots: 1000, slotBytes: 16 * MIB }).slots).toBe(32);
    expect(budget.take({ slots: 1000, slotBytes: 16 * MIB }).slots).toBe(16);
    expect(budget.take(ASKED).slots).toBe(8);
  });

  it("gives two slots to the last, and then no memory", () => {
    const budget = new RingBudget(48 * MIB);
    expect(budget.take(ASKED).slots).toBe(2);
    expect(() => budget.take(ASKED)).toThrow(/32 MiB of 48 MiB .*\(--staging-memory\)/);
    expect(budget.usedBytes).toBe(32 * MIB);
  });

  it("has it again when a ring is gone, once", () => {
    const budget = new RingBudget(64 * MIB);
    const grant = budget.take(ASKED);
    grant.release();
    grant.release();
    expect(budget.usedBytes).toBe(0);
  });
});
