export { callMount } from "./call-mount.js";
export { ControlError } from "./control-error.js";
export type { DrainProgress, StatusReport, StopReport } from "./control-protocol.js";
export { detachMount } from "./detach-mount.js";
export { runInForeground } from "./foreground.js";
export { launchDaemon } from "./launch.js";
export type { LaunchReporter, MountSummary } from "./launch-protocol.js";
export { mountOf, podfsMountpoints, readMountTable } from "./mount-table.js";
export { mountpointState, resolveMountpoint } from "./mountpoint.js";
