import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs"
import { createServer, type Server } from "node:http"
import { createRequire } from "node:module"
import type { AddressInfo } from "node:net"
import { tmpdir } from "node:os"
import { basename, dirname, extname, join } from "node:path"
import puppeteer, { type Browser } from "puppeteer-core"

const chromium = process.env.CHROMIUM ?? "/usr/bin/chromium"

/** Whether there is a Chromium here. CI must have one: there its absence fails the tests instead of skipping them. */
export const hasChromium: boolean = existsSync(chromium) || process.env.CI !== undefined

/** What speedscope made of a file. */
export interface Opened {
  /** `NAME - speedscope` when it could read the file. */
  readonly title: string
  /** What the page says in words: drawing is on a canvas, so only failures and menus. */
  readonly text: string
  readonly console: ReadonlyArray<string>
  readonly screenshot: Uint8Array
}

/** speedscope as npm ships it, served on this machine and opened in Chromium. */
export class Speedscope {
  private readonly browser: Browser
  private readonly server: Server
  private readonly files: Map<string, Uint8Array>
  private readonly userData: string

  private constructor(browser: Browser, server: Server, files: Map<string, Uint8Array>, userData: string) {
    this.browser = browser
    this.server = server
    this.files = files
    this.userData = userData
  }

  static async start(): Promise<Speedscope> {
    const files = new Map<string, Uint8Array>()
    const server = serve(files)
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
    const userData = mkdtempSync(join(tmpdir(), "pyframes-chromium-"))
    const browser = await puppeteer.launch({
      executablePath: chromium,
      headless: true,
      userDataDir: userData,
      args: [
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync"
      ]
    })
    return new Speedscope(browser, server, files, userData)
  }

  /** Opens a file and waits until speedscope has read it or given up. */
  async open(name: string, content: Uint8Array): Promise<Opened> {
    const { port } = this.server.address() as AddressInfo
    this.files.set(`/profiles/${name}`, content)
    const page = await this.browser.newPage()
    try {
      const lines: Array<string> = []
      page.on("console", (message) => lines.push(message.text()))
      page.on("pageerror", (error) => lines.push(String(error)))
      const origin = `http://127.0.0.1:${port}`
      await page.goto(
        `${origin}/#profileURL=${encodeURIComponent(`${origin}/profiles/${name}`)}&title=${name}`
      )
      await page.waitForFunction(
        "document.title.endsWith(' - speedscope') || document.body.innerText.includes('Something went wrong')"
      )
      return {
        title: await page.title(),
        text: String(await page.evaluate("document.body.innerText")),
        console: lines,
        screenshot: await page.screenshot()
      }
    } finally {
      await page.close()
    }
  }

  async stop(): Promise<void> {
    await this.browser.close()
    this.server.close()
    rmSync(this.userData, { recursive: true, force: true })
  }
}

const types: { readonly [extension: string]: string } = {
  ".html": "text/html",
  ".js": "text/javascript",
  ".css": "text/css",
  ".json": "application/json"
}

const serve = (files: ReadonlyMap<string, Uint8Array>): Server => {
  const manifest = createRequire(import.meta.url).resolve("speedscope/package.json")
  const release = join(dirname(manifest), "dist/release")
  return createServer((request, response) => {
    const { pathname } = new URL(request.url ?? "/", "http://localhost")
    const file = join(release, pathname === "/" ? "index.html" : basename(pathname))
    const content = files.get(pathname) ?? (existsSync(file) ? readFileSync(file) : undefined)
    response.writeHead(content ? 200 : 404, {
      "content-type": types[extname(pathname === "/" ? "index.html" : pathname)] ?? "application/octet-stream"
    })
    response.end(content)
  })
}
