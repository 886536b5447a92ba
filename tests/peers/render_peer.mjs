// SPDX-License-Identifier: MIT
// render_peer.mjs: `node render_peer.mjs JOBS.json`: renders [{template, contexts}, …] with @huggingface/jinja and prints
// a list of lists of {text} or {error}.
import { readFileSync } from "node:fs";
import { Template } from "@huggingface/jinja";

const jobs = JSON.parse(readFileSync(process.argv[2], "utf8"));
const answers = jobs.map(({ template, contexts }) => {
    let parsed = null;
    let failure = null;
    try {
        parsed = new Template(template);
    } catch (error) {
        failure = { error: String(error.message) };
    }
    return contexts.map((context) => {
        if (failure) {
            return failure;
        }
        try {
            return { text: parsed.render(structuredClone(context)) };
        } catch (error) {
            return { error: String(error.message) };
        }
    });
});
process.stdout.write(JSON.stringify(answers));
