/** Everything `run.mjs` measures, in this order. What is quick and most often asked for comes first. */
import { family as cold } from "./cold-small-files.mjs";
import { family as data } from "./data-passthrough.mjs";
import { family as served } from "./data-served.mjs";
import { family as link } from "./link.mjs";
import { family as million } from "./million.mjs";
import { family as peers } from "./peers.mjs";
import { family as work } from "./real-work.mjs";
import { family as roundTrips } from "./round-trips.mjs";
import { family as staging } from "./staging.mjs";
import { family as tar } from "./tar.mjs";

/**
 * @typedef {object} Family
 * @property {string} id             for `--only`
 * @property {string} title
 * @property {readonly string[]} needs   see support/machine.mjs
 * @property {number} minutes        about, in a full run
 * @property {(context: import("../support/context.mjs").Context) => AsyncGenerator<object>} measure yields finished rows
 */

/** @type {readonly Family[]} */
export const families = [data, served, roundTrips, tar, cold, link, staging, million, work, peers];
