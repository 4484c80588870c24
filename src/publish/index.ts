export { BackgroundPublisher, type PublisherTools } from "./background-publisher.js";
export { PublishError, type PublishErrorKind } from "./errors.js";
export { idlePublisher } from "./idle-publisher.js";
export type { Durability, Publisher, PublishStatus } from "./publisher.js";
