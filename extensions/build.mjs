// Bundles the modules of an extension of the customer's account as Shopify's command line does.

import { readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { build } from "esbuild";

/** Name and text of every module that the extension's file names. */
export async function bundles(folder) {
  const named = readFileSync(join(folder, "shopify.extension.toml"), "utf8").matchAll(/^\s*module = "(.+)"$/gm);
  const modules = new Set([...named].map((match) => match[1]));
  const built = await build({
    entryPoints: [...modules].map((path) => join(folder, path)),
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2022",
    jsx: "automatic",
    jsxImportSource: "preact",
    outdir: join(folder, "dist"),
    write: false,
  });
  return built.outputFiles.map((file) => ({ name: basename(file.path), text: file.text }));
}
