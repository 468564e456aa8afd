// What people's JavaScript programs do with the official client, flow by flow. node_client.py starts it.
//
// usage: node node_client.mjs CLIENT_DIR      with CARREL_URL (no path) and CARREL_KEY in the environment
//
// Clients before 4.37 speak v1. Before 5 ids are positional arguments, later all but the last are named: `api` says both.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { setTimeout as sleep } from 'node:timers/promises';
import { test } from 'node:test';

const require = createRequire(process.argv[2] + '/');
const { default: OpenAI, AzureOpenAI, toFile, BadRequestError, NotFoundError, AuthenticationError } = require('openai');
const { VERSION } = require('openai/version');
const URL_ = process.env.CARREL_URL;
const KEY = process.env.CARREL_KEY;
const [major, minor] = VERSION.split('.').map(Number);
const V1 = major === 4 && minor < 37;
const NAMED = major >= 5;

const client = new OpenAI({ baseURL: `${URL_}/v1`, apiKey: KEY, maxRetries: 0 });
const threads = client.beta.threads;

const api = {
  run: (c, thread, run) =>
    NAMED ? c.beta.threads.runs.retrieve(run, { thread_id: thread }) : c.beta.threads.runs.retrieve(thread, run),
  cancel: (thread, run) => (NAMED ? threads.runs.cancel(run, { thread_id: thread }) : threads.runs.cancel(thread, run)),
  updateRun: (thread, run, metadata) =>
    NAMED ? threads.runs.update(run, { thread_id: thread, metadata }) : threads.runs.update(thread, run, { metadata }),
  steps: (thread, run) =>
    NAMED ? threads.runs.steps.list(run, { thread_id: thread }) : threads.runs.steps.list(thread, run),
  step: (thread, run, step) =>
    NAMED
      ? threads.runs.steps.retrieve(step, { thread_id: thread, run_id: run })
      : threads.runs.steps.retrieve(thread, run, step),
  outputs: (thread, run, tool_outputs, more = {}) =>
    NAMED
      ? threads.runs.submitToolOutputs(run, { thread_id: thread, tool_outputs, ...more })
      : threads.runs.submitToolOutputs(thread, run, { tool_outputs, ...more }),
  outputsStream: (thread, run, tool_outputs) =>
    NAMED
      ? threads.runs.submitToolOutputsStream(run, { thread_id: thread, tool_outputs })
      : threads.runs.submitToolOutputsStream(thread, run, { tool_outputs }),
  message: (thread, id) =>
    NAMED ? threads.messages.retrieve(id, { thread_id: thread }) : threads.messages.retrieve(thread, id),
  updateMessage: (thread, id, metadata) =>
    NAMED ? threads.messages.update(id, { thread_id: thread, metadata }) : threads.messages.update(thread, id, { metadata }),
  delete: (resource, ...ids) => (NAMED ? resource.delete(...ids) : resource.del(...ids)),
};

const OVER = ['completed', 'failed', 'cancelled', 'expired', 'incomplete', 'requires_action'];

async function finish(run, stop = OVER, c = client) {
  const until = Date.now() + 30_000;
  while (!stop.includes(run.status)) {
    assert.ok(Date.now() < until, JSON.stringify(run));
    await sleep(20);
    run = await api.run(c, run.thread_id, run.id);
  }
  return run;
}

// A thread with one message, run to its end or to what it wants.
async function converse(text, assistant = {}, c = client) {
  const made = await c.beta.assistants.create({ model: 'scripted', ...assistant });
  const thread = await c.beta.threads.create({ messages: [{ role: 'user', content: text }] });
  return finish(await c.beta.threads.runs.create(thread.id, { assistant_id: made.id }), OVER, c);
}

const latest = async (thread, c = client) => (await c.beta.threads.messages.list(thread)).data[0];
const upload = async (name, bytes) => client.files.create({ file: await toFile(Buffer.from(bytes), name), purpose: 'assistants' });
const func = (name) => ({ type: 'function', function: { name, description: name, parameters: { type: 'object', properties: {} } } });
const SEARCH = V1 ? 'retrieval' : 'file_search';

test('a file goes up and comes back', async () => {
  const bytes = Buffer.from(Array.from({ length: 300_000 }, (_, i) => (i * 31) % 256));
  const file = await upload('Übung "1".bin', bytes);
  assert.deepEqual([file.bytes, file.object, file.purpose], [bytes.length, 'file', 'assistants']);
  assert.equal((await client.files.retrieve(file.id)).filename, file.filename);
  const seen = [];
  for await (const f of client.files.list({ purpose: 'assistants' })) seen.push(f.id);
  assert.ok(seen.includes(file.id));
  const answer = await client.files.content(file.id);
  assert.deepEqual(Buffer.from(await answer.arrayBuffer()), bytes);
  assert.equal((await api.delete(client.files, file.id)).deleted, true);
  await assert.rejects(client.files.retrieve(file.id), (e) => e instanceof NotFoundError && /No such File object/.test(e.message));
});

// Document 001: an Azure client, code, polling; and what stands in the steps.
test('a math tutor over Azure', async () => {
  const azure = AzureOpenAI
    ? new AzureOpenAI({ endpoint: URL_, apiKey: KEY, apiVersion: '2024-05-01-preview' })
    : new OpenAI({
        baseURL: `${URL_}/openai`, apiKey: KEY, defaultQuery: { 'api-version': '2024-02-15-preview' },
        defaultHeaders: { 'api-key': KEY },
      });
  const made = await azure.beta.assistants.create({
    name: 'Math Tutor', instructions: 'Write and run code.', tools: [{ type: 'code_interpreter' }], model: 'scripted' });
  const thread = await azure.beta.threads.create();
  await azure.beta.threads.messages.create(thread.id, { role: 'user', content: "Solve 3x + 11 = 14\npython print('x = 1.0')" });
  let run = await azure.beta.threads.runs.create(thread.id, { assistant_id: made.id, instructions: 'Call me Jane.' });
  assert.equal(run.status, 'queued');
  run = await finish(run, OVER, azure);
  assert.equal(run.status, 'completed');
  const messages = await azure.beta.threads.messages.list(thread.id);
  assert.deepEqual(messages.data.map((m) => m.role), ['assistant', 'user']);
  assert.match(messages.data[0].content[0].text.value, /x = 1\.0/);
  const steps = (await api.steps(thread.id, run.id)).data;
  const call = steps.find((s) => s.type === 'tool_calls').step_details.tool_calls[0];
  assert.match(call.code_interpreter.input, /print/);
  assert.match(call.code_interpreter.outputs[0].logs, /x = 1\.0/);
  assert.equal((await api.step(thread.id, run.id, steps[0].id)).id, steps[0].id);
  assert.equal((await api.delete(azure.beta.assistants, made.id)).deleted, true);
  assert.equal((await api.delete(azure.beta.threads, thread.id)).deleted, true);
});

// Document 002: a function whose schema is not one, requires_action, outputs.
test('a function with a sloppy schema', async () => {
  const sloppy = { type: 'object', properties: { primes: { type: 'array' }, required: ['primes'] }, required: 'all' };
  let run = await converse('call add {"primes": [2, 3, 5, 7]}', {
    name: 'AI Math Tutor', tools: [{ type: 'function', function: { name: 'add', description: 'adds', parameters: sloppy } }] });
  assert.equal(run.status, 'requires_action');
  assert.equal(run.expires_at - run.created_at, 600);
  const outputs = run.required_action.submit_tool_outputs.tool_calls.map((call) => ({
    tool_call_id: call.id, output: `The sum is ${JSON.parse(call.function.arguments).primes.reduce((a, b) => a + b)}` }));
  run = await finish(await api.outputs(run.thread_id, run.id, outputs), OVER.slice(0, -1));
  assert.equal(run.status, 'completed');
  assert.match((await latest(run.thread_id)).content[0].text.value, /17/);
  run = await api.updateRun(run.thread_id, run.id, { seen: 'yes' });
  assert.deepEqual(run.metadata, { seen: 'yes' });
});

// Documents 001 and 002: what is in the user's files is found and cited.
test('an answer is cited', async () => {
  const file = await upload('leave.txt', 'Été: employees have 27 days of paid annual leave.');
  const more = V1
    ? { file_ids: [file.id] }
    : { tool_resources: { file_search: { vector_store_ids: [(await client.vectorStores.create({ name: 'hr', file_ids: [file.id] })).id] } } };
  const run = await converse('find annual leave', { name: 'HR bot', tools: [{ type: SEARCH }], ...more });
  assert.equal(run.status, 'completed', JSON.stringify(run.last_error));
  const { text } = (await latest(run.thread_id)).content[0];
  const cited = text.annotations.filter((a) => a.type === 'file_citation');
  assert.deepEqual(cited.map((a) => a.file_citation.file_id), [file.id]);
  // Offsets are in characters, of which JavaScript's strings may have two.
  assert.equal([...text.value].slice(cited[0].start_index, cited[0].end_index).join(''), cited[0].text);
  if (V1) assert.match(cited[0].file_citation.quote, /27 days/);
});

// Document 003: polled until completed, read in reverse, listed, deleted.
test('an investing bot', async () => {
  const run = await converse("What return?\npython print('3.53%')", { name: 'Investing Bot', tools: [{ type: 'code_interpreter' }] });
  const messages = (await threads.messages.list(run.thread_id)).data.reverse();
  const rate = messages.find((m) => m.role === 'assistant').content[0].text.value.match(/(\d+(\.\d+)?%)/)[1];
  assert.equal(rate, '3.53%');
  const mine = await client.beta.assistants.list({ order: 'desc', limit: 20 });
  assert.equal(mine.data[0].id, run.assistant_id);
  assert.equal((await api.delete(client.beta.assistants, mine.data[0].id)).object, 'assistant.deleted');
});

// Document 004: bare requests with v1's header, and no body where none is needed.
test('bare requests', async () => {
  const headers = { Authorization: `Bearer ${KEY}`, 'Content-Type': 'application/json', 'OpenAI-Beta': 'assistants=v1' };
  const ask = async (path, method = 'POST', body) => {
    const answer = await fetch(`${URL_}/v1${path}`, { method, headers, body: body && JSON.stringify(body) });
    assert.equal(answer.status, 200);
    return answer.json();
  };
  const made = await ask('/assistants', 'POST', { model: 'scripted', name: 'Math Tutor', instructions: 'Tutor.', tools: [{ type: 'code_interpreter' }] });
  assert.deepEqual(made.file_ids, []);
  const thread = await ask('/threads');
  let run = await ask(`/threads/${thread.id}/runs`, 'POST', { assistant_id: made.id, instructions: 'Hello, how are you?' });
  assert.deepEqual([run.status, run.usage], ['queued', null]);
  for (let i = 0; run.status !== 'completed'; i++) {
    assert.ok(i < 500 && ['queued', 'in_progress'].includes(run.status), JSON.stringify(run));
    await sleep(20);
    run = await ask(`/threads/${thread.id}/runs/${run.id}`, 'GET');
  }
  assert.ok(run.expires_at === null && run.usage.total_tokens > 0);
});

// Document 000: a picture is made, stands before the text, and can be fetched; so can the file that the text links.
test('a picture', async () => {
  const run = await converse("python print('drawn'); plt.savefig('/mnt/data/units.png')", { tools: [{ type: 'code_interpreter' }] });
  assert.equal(run.status, 'completed');
  const { content } = await latest(run.thread_id);
  assert.deepEqual(content.map((p) => p.type), ['image_file', 'text']);
  const png = Buffer.from(await (await client.files.content(content[0].image_file.file_id)).arrayBuffer());
  assert.equal(png.toString('latin1', 1, 4), 'PNG');
  const path = content[1].text.annotations.find((a) => a.type === 'file_path');
  assert.equal(path.text, 'sandbox:/mnt/data/units.png');
  assert.ok((await client.files.retrieve(path.file_path.file_id)).bytes > 0);
});

test('functions in parallel, and what is refused meanwhile', async () => {
  let run = await converse('call a {"x": 1}\ncall b {}', { tools: [func('a'), func('b')] });
  const calls = run.required_action.submit_tool_outputs.tool_calls;
  assert.deepEqual(calls.map((c) => c.function.name), ['a', 'b']);
  const refused = (words) => (e) => e instanceof BadRequestError && e.message.includes(words);
  await assert.rejects(threads.messages.create(run.thread_id, { role: 'user', content: 'x' }),
    refused(`Can't add messages to ${run.thread_id} while a run ${run.id} is active.`));
  await assert.rejects(threads.runs.create(run.thread_id, { assistant_id: run.assistant_id }),
    refused(`Thread ${run.thread_id} already has an active run ${run.id}.`));
  await assert.rejects(api.outputs(run.thread_id, run.id, [{ tool_call_id: calls[0].id, output: '1' }]),
    refused('Expected tool outputs for call_ids'));
  run = await finish(await api.outputs(run.thread_id, run.id, calls.map((c) => ({ tool_call_id: c.id, output: `${c.function.name}=1` }))), OVER.slice(0, -1));
  assert.match((await latest(run.thread_id)).content[0].text.value, /a=1 b=1/);
  await assert.rejects(api.cancel(run.thread_id, run.id), refused("Cannot cancel run with status 'completed'."));
});

test('cancelled in the midst', async () => {
  const made = await client.beta.assistants.create({ model: 'scripted' });
  const thread = await threads.create({ messages: [{ role: 'user', content: 'hold\nsay one two' }] });
  const started = await threads.runs.create(thread.id, { assistant_id: made.id });
  await sleep(200);
  const run = await finish(await api.cancel(thread.id, started.id));
  assert.equal(run.status, 'cancelled');
  await threads.messages.create(thread.id, { role: 'user', content: 'say free' });
  assert.equal((await finish(await threads.runs.create(thread.id, { assistant_id: made.id }))).status, 'completed');
});

test('messages, one page after the other', async () => {
  const thread = await threads.create({ metadata: { a: 'b' } });
  const made = [];
  for (let i = 0; i < 5; i++) made.push((await threads.messages.create(thread.id, { role: 'user', content: `m${i}` })).id);
  const seen = [];
  for await (const message of threads.messages.list(thread.id, { limit: 2, order: 'asc' })) seen.push(message.id);
  assert.deepEqual(seen, made);
  assert.deepEqual((await api.updateMessage(thread.id, made[0], { k: 'v' })).metadata, { k: 'v' });
  assert.equal((await api.message(thread.id, made[0])).content[0].text.value, 'm0');
  assert.deepEqual((await threads.update(thread.id, { metadata: { c: 'd' } })).metadata, { c: 'd' });
  assert.deepEqual((await threads.retrieve(thread.id)).metadata, { c: 'd' });
  await assert.rejects(threads.retrieve('thread_nobodyhasthisone00000000'), (e) => e instanceof NotFoundError);
});

test('keys', async () => {
  const stranger = new OpenAI({ baseURL: `${URL_}/v1`, apiKey: 'sk-nobody-has-this-one', maxRetries: 0 });
  await assert.rejects(stranger.models.list(), (e) => e instanceof AuthenticationError && e.code === 'invalid_api_key');
  const names = [];
  for await (const model of client.models.list()) names.push(model.id);
  assert.ok(names.includes('scripted'));
  assert.equal((await client.models.retrieve('scripted')).object, 'model');
});

// The helper that adds deltas up: every event that people listen to.
async function listened(stream) {
  const heard = { text: '', code: '', logs: '', names: new Set(), calls: [] };
  for (const name of ['textCreated', 'textDone', 'messageCreated', 'messageDone', 'runStepCreated', 'runStepDelta',
    'runStepDone', 'toolCallCreated', 'toolCallDone', 'imageFileDone', 'run', 'end']) {
    stream.on(name, () => heard.names.add(name));
  }
  stream
    .on('event', ({ event }) => heard.names.add(event))
    .on('textDelta', (delta) => (heard.text += delta.value ?? ''))
    .on('toolCallDelta', (delta) => {
      if (delta.type !== 'code_interpreter') return;
      heard.code += delta.code_interpreter.input ?? '';
      for (const output of delta.code_interpreter.outputs ?? []) if (output.type === 'logs') heard.logs += output.logs;
    })
    .on('toolCallDone', (call) => heard.calls.push(call));
  heard.run = await stream.finalRun();
  heard.messages = await stream.finalMessages();
  heard.steps = await stream.finalRunSteps();
  return heard;
}

test('the streaming helper with code', async () => {
  const made = await client.beta.assistants.create({ model: 'scripted', tools: [{ type: 'code_interpreter' }] });
  const thread = await threads.create({ messages: [{ role: 'user', content: "python print('42'); plt.savefig('/mnt/data/p.png')" }] });
  const start = (threads.runs.createAndStream ?? threads.runs.stream).bind(threads.runs);
  const heard = await listened(start(thread.id, { assistant_id: made.id }));
  assert.equal(heard.run.status, 'completed');
  assert.match(heard.code, /print\('42'\)/);
  assert.match(heard.logs, /42/);
  const parts = heard.messages[0].content;
  assert.equal(heard.text, parts.find((p) => p.type === 'text').text.value);
  // Before 4.37 the helper drops what a list of objects grew by: of the annotations it has the first.
  if (!V1) assert.deepEqual(parts, (await latest(thread.id)).content);
  assert.equal(heard.steps.length, 2);
  const called = heard.steps.find((s) => s.type === 'tool_calls').step_details.tool_calls;
  assert.equal(called[0].code_interpreter.input, heard.code);
  if (!V1) assert.equal(heard.calls[0].code_interpreter.input, heard.code);  // before: as it was in its first delta
  for (const name of ['textCreated', 'textDone', 'messageDone', 'runStepDone', 'toolCallCreated', 'imageFileDone', 'thread.run.queued']) {
    assert.ok(heard.names.has(name), `${name} was not heard`);
  }
});

test('the streaming helper with functions, from thread to answer', async () => {
  const made = await client.beta.assistants.create({ model: 'scripted', tools: [func('f'), func('g')] });
  const start = threads.createAndRunStream.bind(threads);
  const heard = await listened(start({
    assistant_id: made.id, thread: { messages: [{ role: 'user', content: 'call f {"x": "a long enough argument"}\ncall g {}' }] } }));
  assert.equal(heard.run.status, 'requires_action');
  const calls = heard.run.required_action.submit_tool_outputs.tool_calls;
  assert.deepEqual(calls.map((c) => [c.function.name, c.function.arguments]), [['f', '{"x": "a long enough argument"}'], ['g', '{}']]);
  const after = await listened(api.outputsStream(heard.run.thread_id, heard.run.id,
    calls.map((c) => ({ tool_call_id: c.id, output: `${c.function.name} is seven` }))));
  assert.equal(after.run.status, 'completed');
  assert.match(after.text, /f is seven g is seven/);
});

test('events one by one', async () => {
  const made = await client.beta.assistants.create({ model: 'scripted', tools: [func('f')] });
  const thread = await threads.create({ messages: [{ role: 'user', content: 'call f {}' }] });
  const read = async (stream) => {
    const names = [];
    let run;
    for await (const { event, data } of stream) {
      names.push(event);
      if (event.startsWith('thread.run.') && data.object === 'thread.run') run = data;
    }
    return { names, run };
  };
  const first = await read(await threads.runs.create(thread.id, { assistant_id: made.id, stream: true }));
  assert.deepEqual(first.names.slice(0, 5), ['thread.run.created', 'thread.run.queued', 'thread.run.in_progress',
    'thread.run.step.created', 'thread.run.step.in_progress']);
  assert.equal(first.names.at(-1), 'thread.run.requires_action');
  const call = first.run.required_action.submit_tool_outputs.tool_calls[0];
  const second = await read(await api.outputs(thread.id, first.run.id, [{ tool_call_id: call.id, output: 'x' }], { stream: true }));
  assert.deepEqual([second.names[0], second.names.at(-1)], ['thread.run.step.completed', 'thread.run.completed']);
});

test('a stream that is left does not stop its run', async () => {
  const made = await client.beta.assistants.create({ model: 'scripted' });
  const thread = await threads.create({ messages: [{ role: 'user', content: 'words 3000' }] });
  const stream = await threads.runs.create(thread.id, { assistant_id: made.id, stream: true });
  for await (const { event } of stream) if (event === 'thread.message.delta') break;
  const run = (await threads.runs.list(thread.id)).data[0];
  assert.equal((await finish(run)).status, 'completed');
});

test("v1's files of assistants and messages", { skip: !V1 && 'v2 has them no more' }, async () => {
  const [one, two] = [await upload('1.txt', 'one'), await upload('2.txt', 'two')];
  const made = await client.beta.assistants.create({ model: 'scripted', tools: [{ type: 'retrieval' }], file_ids: [one.id] });
  const files = client.beta.assistants.files;
  assert.equal((await files.create(made.id, { file_id: two.id })).object, 'assistant.file');
  assert.deepEqual((await files.list(made.id, { order: 'asc' })).data.map((f) => f.id), [one.id, two.id]);
  assert.equal((await files.retrieve(made.id, two.id)).assistant_id, made.id);
  assert.equal((await files.del(made.id, two.id)).object, 'assistant.file.deleted');
  const thread = await threads.create();
  const message = await threads.messages.create(thread.id, { role: 'user', content: 'x', file_ids: [two.id] });
  assert.deepEqual((await threads.messages.files.list(thread.id, message.id)).data.map((f) => f.id), [two.id]);
  assert.equal((await threads.messages.files.retrieve(thread.id, message.id, two.id)).message_id, message.id);
});

test('a store and its helpers', { skip: V1 && 'v1 has no stores' }, async () => {
  const store = await client.vectorStores.create({ name: 'docs', expires_after: { anchor: 'last_active_at', days: 3 } });
  const bytes = (i) => toFile(Buffer.from(`document number ${i}`), `${i}.txt`);
  const batch = await client.vectorStores.fileBatches.uploadAndPoll(store.id, { files: [await bytes(1), await bytes(2)] });
  assert.deepEqual([batch.status, batch.file_counts.completed], ['completed', 2]);
  const file = await client.vectorStores.files.uploadAndPoll(store.id, await bytes(3));
  assert.equal(file.status, 'completed');
  await client.vectorStores.files.update(file.id, { vector_store_id: store.id, attributes: { year: 2024 } });
  const found = [];
  for await (const hit of client.vectorStores.search(store.id, { query: 'document', filters: { type: 'eq', key: 'year', value: 2024 } })) found.push(hit);
  assert.ok(found.length > 0);
  const listed = [];
  for await (const one of client.vectorStores.files.list(store.id, { limit: 1 })) listed.push(one.id);
  assert.equal(listed.length, 3);
  for await (const part of client.vectorStores.files.content(file.id, { vector_store_id: store.id })) assert.match(part.text, /number 3/);
  await client.vectorStores.files.delete(file.id, { vector_store_id: store.id });
  assert.equal((await client.vectorStores.retrieve(store.id)).file_counts.total, 2);
  assert.equal((await client.vectorStores.update(store.id, { name: 'renamed', expires_after: null })).name, 'renamed');
  assert.equal((await client.vectorStores.delete(store.id)).deleted, true);
});

test('the polling helpers', { skip: V1 && 'they came with v2' }, async () => {
  const made = await client.beta.assistants.create({ model: 'scripted', tools: [func('f')] });
  const run = await threads.createAndRunPoll({ assistant_id: made.id, thread: { messages: [{ role: 'user', content: 'call f {}' }] } });
  assert.equal(run.status, 'requires_action');
  const [call] = run.required_action.submit_tool_outputs.tool_calls;
  const done = await threads.runs.submitToolOutputsAndPoll(run.id, { thread_id: run.thread_id, tool_outputs: [{ tool_call_id: call.id, output: 'o' }] });
  assert.equal(done.status, 'completed');
  assert.equal((await threads.messages.delete((await latest(run.thread_id)).id, { thread_id: run.thread_id })).deleted, true);
});

test("v1's words are refused under v2", { skip: V1 && 'they are its own' }, async () => {
  await assert.rejects(client.beta.assistants.create({ model: 'scripted', tools: [{ type: 'retrieval' }] }),
    (e) => e instanceof BadRequestError && e.param === 'tools[0].type' && e.code === 'invalid_value');
  await assert.rejects(client.beta.assistants.create({ model: 'scripted', file_ids: [] }), (e) => e.code === 'unknown_parameter');
});
