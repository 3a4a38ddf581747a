// Unpack the browser of the npm package beside it, once: to the folder that TMPDIR names.
import chromium from "@sparticuz/chromium";

console.log(await chromium.executablePath());
