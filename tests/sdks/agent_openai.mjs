// An agent on openai-node's responses.stream(): what agent_openai.py does in Python.
import OpenAI from 'openai'

const parameters = { type: 'object', properties: {} }
const search = { type: 'function', name: 'search', strict: false, parameters }
const tools = [
  { type: 'function', name: 'exec_command', strict: false, parameters },
  { type: 'custom', name: 'apply_patch' },
  { type: 'namespace', name: 'mcp__docs', description: 'Docs.', tools: [search] },
]
const names = ['exec_command', 'apply_patch', 'mcp__docs.search']

function run(call) {
  const name = call.namespace ? `${call.namespace}.${call.name}` : call.name
  if (!names.includes(name)) throw new Error(`There is no tool ${name}.`)
  const output = { type: `${call.type}_output`, call_id: call.call_id, output: 'done' }
  if (call.type === 'custom_tool_call') return [{ [call.name]: call.input }, output]
  const given = JSON.parse(call.arguments)
  if (given?.constructor !== Object) throw new Error('The arguments are no object.')
  return [{ [call.name]: given }, output]
}

async function turn(client, input, seen) {
  let final
  const stream = client.responses.stream({ model: 'm', input, tools })
  stream.on('response.output_text.delta', (event) => (seen.assembled = event.snapshot))
  stream.on('response.function_call_arguments.delta', (event) => {
    seen.written[event.item_id] = event.snapshot
  })
  stream.on('response.refusal.delta', (event) => (seen.assembled += event.delta))
  for await (const event of stream) {
    if (/^response\.(output_text|refusal)\.delta$/.test(event.type)) seen.shown += event.delta
    else if (/^response\.reasoning.*\.delta$/.test(event.type)) seen.thought += event.delta
    else if (/^response\.(incomplete|failed)$/.test(event.type)) final = event.response
  }
  return final ? [final, false] : [await stream.finalResponse(), true]
}

function words(response) {
  const parts = response.output.flatMap((item) => (item.type === 'message' ? item.content : []))
  const said = { output_text: 'text', refusal: 'refusal' }
  return parts.map((part) => part[said[part.type]] ?? '').join('')
}

function told(response) {
  const { usage, status, incomplete_details: details, error, id } = response
  const thoughts = response.output.filter((item) => item.type === 'reasoning')
  return {
    text: words(response),
    reasoning: thoughts.flatMap((item) => item.summary ?? []).map((part) => part.text),
    usage: usage && [usage.input_tokens, usage.output_tokens, usage.total_tokens],
    end: [status, details?.reason, error?.message],
    id,
  }
}

async function agent(baseURL) {
  const seen = { shown: '', assembled: '', thought: '', written: {}, ran: [] }
  const client = new OpenAI({ apiKey: 'made-up', baseURL, maxRetries: 0 })
  try {
    const history = [{ role: 'user', content: 'Go on.' }]
    const [response, isWhole] = await turn(client, history, seen)
    const outputs = []
    for (const call of response.output) {
      if (!isWhole || !/^(function|custom_tool)_call$/.test(call.type)) continue
      const [ran, output] = run(call)
      seen.ran.push(ran)
      outputs.push(output)
    }
    Object.assign(seen, told(response))
    if (outputs.length) {
      // The accumulator adds members of its own, which are not for the wire.
      const kept = response.output.map(({ parsed_arguments, ...item }) => item)
      await turn(client, [...history, ...kept, ...outputs], { ...seen, written: {} })
    }
  } catch (error) {
    seen.error = `${error.constructor.name}: ${error.message}`
  }
  return { ...seen, written: Object.values(seen.written) }
}

const all = []
for (const url of JSON.parse(process.env.CASE).urls) all.push(await agent(url))
process.stdout.write(JSON.stringify(all), () => process.exit())
