/** A column of a table; cells are in its rows. */
export interface Column {
  readonly title: string;
  readonly align: "left" | "right";
  /** Left out, lowest first, where the table is too wide; without one it stays. */
  readonly rank?: number;
}

export type Row =
  | { readonly type: "cells"; readonly cells: readonly string[] }
  /** A heading, with the columns' titles beside it. */
  | { readonly type: "heading"; readonly text: string };

const GAP = "  ";

/** Lines of a table no wider than `width`, if leaving out columns can achieve that. Headings are preceded by a blank line. */
export function renderColumns(columns: readonly Column[], rows: readonly Row[], width: number): string[] {
  const shown = columns.map((_, index) => index).filter((index) => isUsed(index, rows));
  const order = shown
    .filter((index) => columns[index]?.rank !== undefined)
    .sort((one, other) => (columns[one]?.rank ?? 0) - (columns[other]?.rank ?? 0));
  let kept = shown;
  for (const index of order) {
    if (totalWidth(columns, rows, kept) <= width) break;
    kept = kept.filter((other) => other !== index);
  }
  return renderKept(columns, rows, kept);
}

function isUsed(index: number, rows: readonly Row[]): boolean {
  return rows.some((row) => row.type === "cells" && (row.cells[index] ?? "") !== "");
}

function renderKept(columns: readonly Column[], rows: readonly Row[], kept: readonly number[]): string[] {
  const widths = kept.map((index) => columnWidth(columns, rows, index));
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, place) => {
        const [column, columnWidth] = [columns[kept[place] ?? 0], widths[place] ?? 0];
        return column?.align === "right" ? cell.padStart(columnWidth) : cell.padEnd(columnWidth);
      })
      .join(GAP)
      .trimEnd();
  return rows.flatMap((row) => {
    if (row.type === "cells") return [line(kept.map((index) => row.cells[index] ?? ""))];
    return ["", line(kept.map((index) => (index === 0 ? row.text : (columns[index]?.title ?? ""))))];
  });
}

function totalWidth(columns: readonly Column[], rows: readonly Row[], kept: readonly number[]): number {
  const widths = kept.map((index) => columnWidth(columns, rows, index));
  return widths.reduce((sum, width) => sum + width, 0) + GAP.length * (kept.length - 1);
}

function columnWidth(columns: readonly Column[], rows: readonly Row[], index: number): number {
  const cells = rows.map((row) => {
    if (row.type === "cells") return row.cells[index] ?? "";
    return index === 0 ? row.text : (columns[index]?.title ?? "");
  });
  return Math.max(0, ...cells.map((cell) => cell.length));
}
