import { CHART_BACKGROUND, CHART_STYLE } from "./theme.js";

/** What all charts have in common. */
export interface ChartFrame {
  readonly title: string;
  /** A line below the title, and what a screen reader hears after it. */
  readonly note?: string;
  /** In pixels; 640 when absent. Narrower charts keep their text size. */
  readonly width?: number;
  /** The page it becomes part of has {@link CHART_STYLE} already, and this id is unique there. */
  readonly embeddedAs?: string;
}

export const WIDTH_DEFAULT = 640;
/** Where the drawing begins, below title and note. */
export const HEAD_HEIGHT = 50;
export const MARGIN = 16;

/** Makes text safe in XML and HTML, in elements and in quoted attributes; what XML cannot say at all is replaced. */
export function escapeMarkup(text: string): string {
  return text
    .replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)
    .replace(/(?![\t\n\r])[\p{Cc}\p{Surrogate}\ufffe\uffff]/gu, "\ufffd");
}

/** @param body markup; `description` tells in words what it shows. */
export function renderChart(
  frame: ChartFrame,
  drawing: { readonly height: number; readonly description: string; readonly body: string },
): string {
  const { title, note = "", width = WIDTH_DEFAULT, embeddedAs } = frame;
  const { height, description, body } = drawing;
  const id = embeddedAs ?? "chart";
  const style = embeddedAs === undefined ? `<style>${CHART_STYLE}</style>${CHART_BACKGROUND}` : "";
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" class="chart" viewBox="0 0 ${width} ${height}" width="${width}" ` +
      `height="${height}" role="img" aria-labelledby="${id}-title ${id}-desc">`,
    `<title id="${id}-title">${escapeMarkup(title)}</title>`,
    `<desc id="${id}-desc">${escapeMarkup(note === "" ? description : `${note}. ${description}`)}</desc>`,
    style,
    text({ x: MARGIN, y: 22, class: "heading" }, shorten(title, width - 2 * MARGIN, 15)),
    note === "" ? "" : text({ x: MARGIN, y: 40, class: "note" }, shorten(note, width - 2 * MARGIN, 12)),
    body,
    "</svg>\n",
  ].join("");
}

type Attributes = Readonly<Record<string, string | number | undefined>>;

/** @param content markup, already escaped. */
export function element(name: string, attributes: Attributes, content = ""): string {
  const written = Object.entries(attributes)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => ` ${key}="${typeof value === "number" ? coordinate(value) : escapeMarkup(String(value))}"`);
  const tag = name + written.join("");
  return content === "" ? `<${tag}/>` : `<${tag}>${content}</${name}>`;
}

/** @param content plain text. */
export function text(attributes: Attributes, content: string): string {
  return element("text", attributes, escapeMarkup(content));
}

export function line(x1: number, y1: number, x2: number, y2: number, className: string): string {
  return element("line", { x1, y1, x2, y2, class: className });
}

/** A path through points, in pixels. */
export function polyline(points: readonly (readonly [x: number, y: number])[], className: string): string {
  const path = points.map(([x, y], index) => `${index === 0 ? "M" : "L"}${coordinate(x)} ${coordinate(y)}`).join("");
  return element("path", { d: path, class: className });
}

/** A tenth of a pixel is what can be seen. */
function coordinate(value: number): string {
  return String(Math.round(value * 10) / 10);
}

/** About how wide a text will be: nothing here can measure fonts. Rather too wide than too narrow. */
export function textWidth(content: string, fontSize: number): number {
  let width = 0;
  for (const character of content)
    width += /[mwMW@%—]/.test(character) ? 0.86 : /[ijlI.,:;'|!/ ]/.test(character) ? 0.32 : 0.58;
  return width * fontSize;
}

/** Leaves out the middle of what is too wide: paths differ at their ends. */
export function shorten(content: string, widthMax: number, fontSize: number): string {
  if (textWidth(content, fontSize) <= widthMax) return content;
  const characters = [...content];
  for (let kept = characters.length - 1; kept > 2; kept--) {
    const head = Math.ceil(kept / 3);
    const candidate = `${characters.slice(0, head).join("")}…${characters.slice(head - kept).join("")}`;
    if (textWidth(candidate, fontSize) <= widthMax) return candidate;
  }
  return "…";
}
