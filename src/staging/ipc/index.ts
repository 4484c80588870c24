export { createIpcCopiers, type IpcClient, type IpcCopiers, type IpcSave } from "./ipc-copiers.js";
export type { RingReference } from "./messages.js";
