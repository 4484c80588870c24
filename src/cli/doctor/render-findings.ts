import type { Finding } from "./finding.js";

const CHECK_WIDTH_MAX = 18;
const TEXT_WIDTH_MIN = 30;

/** The findings as aligned text, wrapped to `width` columns. Ends with a newline. */
export function renderFindings(findings: readonly Finding[], width: number): string {
  const checkWidth = Math.min(CHECK_WIDTH_MAX, Math.max(...findings.map(({ check }) => check.length)));
  const indent = "ok  ".length + 2 + checkWidth + 2;
  const textWidth = Math.max(TEXT_WIDTH_MIN, width - indent);
  const rows = findings.flatMap(({ check, verdict, found, follows, fix }) => {
    const head = `${verdict.padEnd(4)}  ${check.padEnd(checkWidth)}  `;
    const lines = [
      ...wrap(`${found}. ${follows}`, textWidth),
      ...(fix === undefined ? [] : wrap(`Fix: ${fix}`, textWidth)),
    ];
    return lines.map((line, index) => (index === 0 ? head : " ".repeat(indent)) + line);
  });
  return `${rows.join("\n")}\n\n${conclude(findings)}\n`;
}

function conclude(findings: readonly Finding[]): string {
  const failed = findings.filter(({ verdict }) => verdict === "fail").length;
  const warned = findings.filter(({ verdict }) => verdict === "warn").length;
  if (failed > 0) return `podfs cannot mount here until what is marked "fail" is fixed (${failed}).`;
  if (warned > 0) return `podfs works here; what is marked "warn" (${warned}) makes it slower or leaves something out.`;
  return "podfs works here, with everything it has.";
}

/** Breaks at blanks; a word longer than a line gets a line of its own, so that paths can still be copied. */
function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + 1 + word.length > width) {
      lines.push(line);
      line = "";
    }
    line = line === "" ? word : `${line} ${word}`;
  }
  return [...lines, line];
}
