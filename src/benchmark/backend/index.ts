export { type BackendOptions, type BackendProgress, measureBackend } from "./measure-backend.js";
export { renderBackendHtml } from "./render-html.js";
export { renderBackendText } from "./render-text.js";
export type { BackendCheck, BackendResult } from "./result.js";
