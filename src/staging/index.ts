export { StagingError } from "./errors.js";
export { createIpcCopiers } from "./ipc/index.js";
export { SOCKET_ATTRIBUTE } from "./protocol.js";
export { type StagingLog, type StagingOptions, StagingServer, type StagingStatus } from "./staging-server.js";
