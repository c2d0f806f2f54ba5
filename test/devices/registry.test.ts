import { test } from "uvu"
import * as assert from "uvu/assert"
import { deviceComponents } from "../../src/devices/registry.ts"

test("every kind of device state, each once", () => {
  assert.equal(deviceComponents.map(({ kind, version }) => `${kind} ${version}`).sort(), [
    "i8042 1",
    "serial 1",
    "virtio-balloon 2",
    "virtio-console 1",
    "virtio-rng 1",
  ])
})

test.run()
