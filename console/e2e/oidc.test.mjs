// Sign-in with OpenID Connect: with a certified provider and its own pages (oidc-provider), and with
// one that lies, which differs from one that is right by one thing at a time.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { exportJWK, generateKeyPair, SignJWT, UnsecuredJWT } from 'jose';
import { browser, findings } from './browser.mjs';

const program = process.env.SEKISHO_TEST_PROGRAM;
const SECRET = 'only-of-this-test: 100% & more';
const WAIT = { timeout: 60_000 };
const PEOPLE = {
  alice: { email: 'alice@example.com', email_verified: true, groups: ['shop-developers', 'staff'] },
  bob: { email: 'bob@example.com', email_verified: true, groups: ['platform'] },
  mallory: { email: 'mallory@example.com', email_verified: true, groups: ['visitors'] },
};
const folders = [];
const running = [];
let chromium;

/** Listens on a port that is free; gives the address. */
async function listen(server, port = 0) {
  await new Promise((resolve, reject) => server.on('error', reject).listen(port, '127.0.0.1', resolve));
  running.push(() => new Promise((resolve) => (server.closeAllConnections(), server.close(resolve))));
  return `http://127.0.0.1:${server.address().port}`;
}

/** A port that was free a moment ago. */
async function freePort() {
  const server = createServer();
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** A server of ours that believes `issuer`; `port` is where people reach it. */
async function sekisho(issuer, port, more = '') {
  const folder = mkdtempSync(join(tmpdir(), 'sekisho-oidc-'));
  folders.push(folder);
  const secret = join(folder, 'secret');
  writeFileSync(secret, `${SECRET}\n`, { mode: 0o600 });
  const config = join(folder, 'config.toml');
  const socket = join(folder, 'server.sock');
  const url = `http://127.0.0.1:${port}`;
  writeFileSync(
    config,
    `[server]
socket = '${socket}'
data_dir = '${join(folder, 'data')}'
web_listen = '127.0.0.1:${port}'
[server.oidc]
issuer = '${issuer}'
name = 'Example ID'
client_id = 'sekisho'
client_secret_file = '${secret}'
public_url = '${url}'
${more}
[[server.oidc.grants]]
group = 'shop-developers'
role = 'author'
namespaces = ['shop']
[[server.oidc.grants]]
group = 'staff'
role = 'viewer'
[[server.oidc.grants]]
group = 'platform'
role = 'operator'
`,
  );
  const child = spawn(program, ['server', '--config', config], { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  child.stdout.on('data', (data) => (output += data));
  child.stderr.on('data', (data) => (output += data));
  const ended = new Promise((resolve) => child.on('exit', resolve));
  running.push(async () => {
    child.kill('SIGTERM');
    await ended;
  });
  for (let tries = 0; ; tries += 1) {
    const answer = await fetch(`${url}/api/v1/session/ways`).catch(() => null);
    if (answer?.ok) return { url, socket, log: () => output };
    assert.ok(tries < 300 && child.exitCode === null, `the server was not up in time:\n${output}`);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

/** A provider with pages of its own, where everybody knows their name. */
async function certified(redirect) {
  const { default: Provider } = await import('oidc-provider');
  const port = await freePort();
  const issuer = `http://127.0.0.1:${port}`;
  const { privateKey } = await generateKeyPair('RS256', { extractable: true });
  const provider = new Provider(issuer, {
    clients: [{ client_id: 'sekisho', client_secret: SECRET, redirect_uris: [redirect] }],
    jwks: { keys: [{ ...(await exportJWK(privateKey)), alg: 'RS256', use: 'sig', kid: 'one' }] },
    cookies: { keys: ['only of this test'] },
    scopes: ['openid', 'email', 'groups'],
    claims: { openid: ['sub'], email: ['email', 'email_verified'], groups: ['groups'] },
    pkce: { required: () => true },
    findAccount: (_context, id) => (PEOPLE[id] ? { accountId: id, claims: () => ({ sub: id, ...PEOPLE[id] }) } : undefined),
  });
  await listen(createServer(provider.callback()), port);
  return issuer;
}

let real;
before(async () => {
  assert.ok(program, 'SEKISHO_TEST_PROGRAM names the program to show');
  const port = await freePort();
  const issuer = await certified(`http://127.0.0.1:${port}/api/v1/session/oidc/callback`);
  real = await sekisho(issuer, port, "scopes = ['openid', 'email', 'groups']");
  chromium = await browser();
});

after(async () => {
  await chromium?.close();
  for (const stop of running.reverse()) await stop();
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

/** Goes to `path`, to the provider, and signs in there as `who`. */
async function signIn(context, who, path = '/') {
  const page = await context.newPage();
  await page.goto(new URL(path, real.url).href);
  await page.getByRole('link', { name: 'Sign in with Example ID' }).click(WAIT);
  await page.locator('input[name=login]').fill(who, WAIT);
  await page.locator('input[name=password]').fill('whatever');
  await page.locator('button[type=submit]').click();
  await page.getByRole('button', { name: 'Continue' }).click(WAIT);
  return page;
}

const session = async (context, url = real.url) => {
  const answer = await context.request.get(`${url}/api/v1/session`);
  return answer.ok() ? answer.json() : null;
};

test('who is of a group with a grant signs in, and comes back to the page they wanted', async () => {
  const context = await chromium.newContext({ locale: 'en-US' });
  const page = await signIn(context, 'alice', '/flows?filter=verdict:denied');
  await page.getByRole('navigation').waitFor(WAIT);
  const place = new URL(page.url());
  assert.equal(place.pathname + place.search, '/flows?filter=verdict:denied');
  const who = await session(context);
  assert.deepEqual([who.name, who.role, who.namespaces], ['oidc:alice@example.com', 'author', ['shop']]);
  const hours = (Date.parse(who.expires) - Date.now()) / 3_600_000;
  assert.ok(hours > 7.5 && hours <= 8, `ends in ${hours} h`);
  const cookies = (await context.cookies(real.url)).filter((cookie) => cookie.name.startsWith('sekisho'));
  assert.deepEqual(cookies.map((cookie) => [cookie.name, cookie.httpOnly, cookie.sameSite]), [['sekisho_session', true, 'Strict']]);
  // Of shop alone, and no operator.
  assert.equal((await context.request.get(`${real.url}/api/v1/status`)).status(), 403);
  assert.equal((await context.request.get(`${real.url}/api/v1/audit`)).status(), 403);
  // A page that changes something says so itself, as with a token's cookie.
  assert.equal((await context.request.post(`${real.url}/api/v1/what-if`, { data: { policies: '' } })).status(), 403);
  await context.request.delete(`${real.url}/api/v1/session`);
  assert.equal(await session(context), null);
  await context.close();
});

test('who is of no group with a grant stays outside, and is told so in their language', async () => {
  const context = await chromium.newContext({ locale: 'en-US' });
  const page = await signIn(context, 'mallory');
  await page.getByRole('alert').getByText('none of your groups may use Sekisho').waitFor(WAIT);
  assert.equal(new URL(page.url()).hash, '');
  assert.equal(await session(context), null);
  assert.deepEqual(await findings(page), []);
  await page.getByRole('button', { name: '日本語' }).click();
  await page.getByRole('alert').getByText('許可されたグループに属していません').waitFor(WAIT);
  await page.getByRole('link', { name: 'Example ID でサインイン' }).waitFor(WAIT);
  await context.close();
});

test('the audit log has who came in, as what, and who did not', async () => {
  const context = await chromium.newContext({ locale: 'en-US' });
  const page = await signIn(context, 'bob');
  await page.getByRole('navigation').waitFor(WAIT);
  const { entries } = await (await context.request.get(`${real.url}/api/v1/audit`)).json();
  const of = (who) => entries.filter((entry) => entry.action === 'sign_in' && entry.who === who);
  assert.deepEqual(of('oidc:alice@example.com').map((entry) => [entry.outcome, entry.detail]), [['done', 'author of shop']]);
  assert.deepEqual(of('oidc:bob@example.com').map((entry) => [entry.outcome, entry.detail]), [['done', 'operator of all namespaces']]);
  const [denied] = of('oidc:mallory@example.com');
  assert.equal(denied.outcome, 'denied');
  assert.match(denied.detail, /visitors/);
  await context.close();
});

test('who is refused by the provider is told that it was the provider', async () => {
  const context = await chromium.newContext({ locale: 'en-US' });
  const page = await context.newPage();
  await page.goto(real.url);
  await page.getByRole('link', { name: 'Sign in with Example ID' }).click(WAIT);
  await page.getByRole('link', { name: 'Cancel' }).click(WAIT);
  await page.getByRole('alert').getByText('did not sign you in').waitFor(WAIT);
  assert.equal(await session(context), null);
  await context.close();
});

test('a provider that lies lets nobody in, and its honest twin does', async () => {
  const [good, stranger] = await Promise.all([1, 2].map(() => generateKeyPair('ES256', { extractable: true })));
  const jwk = { ...(await exportJWK(good.publicKey)), alg: 'ES256', use: 'sig', kid: 'one' };
  let lie = {};
  let shown = [jwk];
  let nonce = '';
  const seen = [];
  const respond = (response, body, status = 200) =>
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
  const provider = createServer(async (request, response) => {
    const url = new URL(request.url, issuer);
    if (url.pathname === '/.well-known/openid-configuration') {
      const own = { issuer: lie.document ?? issuer, authorization_endpoint: `${issuer}/authorize`, token_endpoint: `${issuer}/token` };
      return respond(response, { ...own, jwks_uri: `${issuer}/keys`, userinfo_endpoint: `${issuer}/userinfo` });
    }
    if (url.pathname === '/keys') return respond(response, { keys: shown });
    if (url.pathname === '/authorize') {
      nonce = url.searchParams.get('nonce');
      seen.push(url.searchParams.get('code_challenge_method'));
      const back = new URL(url.searchParams.get('redirect_uri'));
      back.search = new URLSearchParams({ code: 'c', state: url.searchParams.get('state'), iss: lie.iss ?? issuer });
      return response.writeHead(303, { location: back.href }).end();
    }
    if (url.pathname === '/userinfo') return respond(response, { sub: lie.userinfo ?? '7', groups: ['platform'] });
    const pair = Buffer.from((request.headers.authorization ?? '').replace('Basic ', ''), 'base64').toString();
    seen.push(new URLSearchParams(`secret=${pair.slice(pair.indexOf(':') + 1)}`).get('secret'));
    if (lie.status) return respond(response, { error: 'invalid_grant' }, lie.status);
    const now = Math.floor(Date.now() / 1000);
    const claims = { iss: issuer, aud: 'sekisho', sub: '7', nonce, iat: now, exp: now + 60, ...lie.claims };
    if (!lie.userinfo) claims.groups = lie.groups ?? ['staff'];
    const { key = good.privateKey, alg = 'ES256', kid = 'one' } = lie;
    const token = alg === 'none' ? new UnsecuredJWT(claims).encode() : await new SignJWT(claims).setProtectedHeader({ alg, kid }).sign(key);
    return respond(response, { access_token: 'a', token_type: 'Bearer', id_token: token });
  });
  const issuer = await listen(provider);
  const { url, socket, log } = await sekisho(issuer, await freePort());
  const come = async (one) => {
    lie = one;
    const context = await chromium.newContext();
    const answer = await context.request.get(`${url}/api/v1/session/oidc`, { maxRedirects: 10 });
    const who = await session(context, url);
    await context.close();
    return [who?.name ?? null, who?.role ?? null, answer.status()];
  };
  // Before anything is known of it: another one's document.
  assert.deepEqual(await come({ document: 'http://127.0.0.1:1' }), [null, null, 200]);
  assert.match(log(), /calls itself/);
  assert.deepEqual(await come({}), ['oidc:7', 'viewer', 200]);
  assert.deepEqual(seen.slice(-2), ['S256', SECRET]);
  const hour = Math.floor(Date.now() / 1000) - 3_600;
  const secret = new TextEncoder().encode(JSON.stringify(jwk).padEnd(32));
  const lies = [
    { claims: { nonce: 'another' } },
    { claims: { aud: 'another' } },
    { claims: { aud: ['sekisho', 'another'] } },
    { claims: { iss: 'https://another.example' } },
    { claims: { exp: hour } },
    { claims: { azp: 'another' } },
    { claims: { sub: undefined } },
    { key: stranger.privateKey },
    { kid: 'two' },
    { alg: 'HS256', key: secret },
    { alg: 'none' },
    { iss: 'https://another.example' },
    { groups: [] },
    { groups: 'visitors' },
    { userinfo: '8' },
    { status: 400 },
    { status: 500 },
  ];
  for (const one of lies) {
    assert.deepEqual(await come(one), [null, null, 200], JSON.stringify(one));
    assert.equal((await come({}))[1], 'viewer', `after ${JSON.stringify(one)}`);
  }
  // Groups of UserInfo count where the token has none, if it is of the same subject.
  assert.deepEqual(await come({ userinfo: '7' }), ['oidc:7', 'operator', 200]);
  assert.deepEqual(await come({ groups: 'staff', claims: { email: 'a@b', email_verified: false } }), ['oidc:7', 'viewer', 200]);
  assert.deepEqual(await come({ claims: { email: 'a@b', email_verified: true } }), ['oidc:a@b', 'viewer', 200]);

  // A way back is good once, and in the browser that went away.
  lie = {};
  const [one, another] = [await chromium.newContext(), await chromium.newContext()];
  const go = async (from, place) => (await from.request.get(place, { maxRedirects: 0 })).headers().location;
  const back = await go(one, await go(one, `${url}/api/v1/session/oidc?next=/map`));
  assert.equal(await go(another, back), '/#signin=over');
  assert.equal(await session(another, url), null);
  assert.equal(await go(one, back), '/map');
  assert.equal((await session(one, url)).name, 'oidc:7');
  assert.equal(await go(one, back), '/#signin=over');
  // Who makes somebody sign in does not choose where they end.
  const away = await go(one, await go(one, `${url}/api/v1/session/oidc?next=//evil.example`));
  assert.equal(await go(one, away), '/');
  await Promise.all([one.close(), another.close()]);

  // While it is away nobody comes in by its word, and tokens go on.
  provider.closeAllConnections();
  await new Promise((resolve) => provider.close(resolve));
  await assert.rejects(come({}), /ECONNREFUSED/);
  const token = execFileSync(program, ['token', 'create', 'ci', '--server', socket], { encoding: 'utf8' }).trim();
  const context = await chromium.newContext();
  const answer = await context.request.get(`${url}/api/v1/session`, { headers: { authorization: `Bearer ${token}` } });
  assert.equal((await answer.json()).name, 'ci');
  assert.ok(!log().includes(SECRET), 'no secret in the log');
  await context.close();
});
