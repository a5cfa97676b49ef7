'use strict';
// Leads a Node program's connections through the proxy of its world. Node before 24 ignores proxy variables; http, https,
// fetch and database drivers all connect by net.Socket.prototype.connect or tls.connect, so those two are led, each by a CONNECT
// tunnel. Loopback connections are led as well: the proxy knows which of them are the program's own.
const net = require('net');
const tls = require('tls');
const { Duplex } = require('stream');

const proxy = process.env.HTTPS_PROXY || process.env.https_proxy;
if (proxy) {
  const proxyHost = new URL(proxy).hostname;
  const proxyPort = Number(new URL(proxy).port);
  const connectDirectly = net.Socket.prototype.connect;
  const connectTls = tls.connect;

  const isNumber = (value) => ['number', 'string'].includes(typeof value) && /^\d+$/.test(String(value));
  const authority = (host, port) => `${host.includes(':') ? `[${host}]` : host}:${port}`;
  const question = (host, port) => `CONNECT ${authority(host, port)} HTTP/1.1\r\nHost: ${authority(host, port)}\r\n\r\n`;
  const isProxy = (host, port) => port === proxyPort && (!host || host === 'localhost' || /^(127\.|::1$)/.test(host));

  // A proxy that does not open the tunnel is the nearest thing to a refused connect.
  function refusal(host, port) {
    const error = new Error(`connect ECONNREFUSED ${authority(host, port)}`);
    return Object.assign(error, { code: 'ECONNREFUSED', errno: -111, syscall: 'connect', address: host, port });
  }

  // Collects the proxy's answer; calls done(null, rest) or done(error) once.
  function answerReader(host, port, done) {
    let answer = Buffer.alloc(0);
    return (chunk) => {
      if (chunk === null) return done(refusal(host, port));
      answer = Buffer.concat([answer, chunk]);
      const end = answer.indexOf('\r\n\r\n');
      if (end < 0) return undefined;
      const opened = /^HTTP\/1\.[01] 2/.test(answer.toString('latin1', 0, 16));
      return opened ? done(null, answer.subarray(end + 4)) : done(refusal(host, port));
    };
  }

  // A tunnel under TLS: whatever is written waits until the proxy has answered.
  class Tunnel extends Duplex {
    constructor(host, port) {
      super();
      this.raw = new net.Socket();
      this.waiting = null;
      this.open = false;
      const read = answerReader(host, port, (error, rest) => {
        if (error) return this.destroy(error);
        this.open = true;
        this.raw.removeListener('data', read);
        this.raw.on('data', (chunk) => this.push(chunk) || this.raw.pause());
        if (rest.length) this.push(rest);
        if (this.waiting) this.raw.write(...this.waiting);
        this.waiting = null;
        return undefined;
      });
      this.raw.on('data', read);
      this.raw.on('end', () => (this.open ? this.push(null) : read(null)));
      this.raw.on('error', (error) => this.destroy(error));
      this.raw.on('close', () => this.destroy());
      Reflect.apply(connectDirectly, this.raw, [{ host: proxyHost, port: proxyPort, noDelay: true }]);
      this.raw.write(question(host, port));
    }

    _read() { this.raw.resume(); }

    _write(chunk, encoding, done) {
      if (this.open) this.raw.write(chunk, encoding, done);
      else this.waiting = [chunk, encoding, done];
    }

    _final(done) { this.raw.end(done); }

    _destroy(error, done) {
      this.raw.destroy();
      done(error);
    }

    ref() { this.raw.ref(); }

    unref() { this.raw.unref(); }
  }

  tls.connect = function connect(...given) {
    let options = given.find((argument) => typeof argument === 'object' && argument !== null) || {};
    const listener = given.find((argument) => typeof argument === 'function');
    const numbers = given.filter(isNumber);
    const names = given.filter((argument) => typeof argument === 'string' && !isNumber(argument));
    const port = Number(numbers.length ? numbers[0] : options.port);
    const host = names.length ? names[0] : options.host || 'localhost';
    if (options.socket || options.path || !port) return Reflect.apply(connectTls, this, given);
    const tunnel = new Tunnel(host, port);
    const servername = options.servername === undefined && !net.isIP(host) ? host : options.servername;
    options = { ...options, host, port, socket: tunnel };
    if (servername !== undefined) options.servername = servername;
    const secure = Reflect.apply(connectTls, this, [options, ...(listener ? [listener] : [])]);
    tunnel.on('error', (error) => secure.destroy(error));
    return secure;
  };

  // A plain socket talks to the proxy itself, before anybody is told that it is connected: 'connect' and 'ready' are held back,
  // and so is what was written, until the proxy has answered.
  net.Socket.prototype.connect = function connect(...given) {
    const args = Array.isArray(given[0]) ? given[0] : given; // node's own callers pass arguments that are normalised already
    const isObject = typeof args[0] === 'object' && args[0] !== null;
    const options = isObject ? args[0] : { port: args[0], host: typeof args[1] === 'string' ? args[1] : undefined };
    const port = isNumber(options.port) ? Number(options.port) : 0;
    if (options.path || !port || isProxy(options.host, port) || this instanceof tls.TLSSocket) {
      return Reflect.apply(connectDirectly, this, given);
    }
    const listener = args.find((argument) => typeof argument === 'function');
    if (listener) this.once('connect', listener);
    return lead(this, options.host || 'localhost', port);
  };

  function lead(socket, host, port) {
    const { emit } = socket;
    const write = socket._writeGeneric;
    const writes = [];
    const told = [];
    const restore = () => {
      delete socket.emit;
      delete socket.push;
      delete socket._writeGeneric;
    };
    const read = answerReader(host, port, (error, rest) => {
      restore();
      if (error) {
        socket.destroy(error);
        return false;
      }
      for (const event of told) socket.emit(event);
      for (const args of writes) socket._writeGeneric(...args);
      return rest.length ? socket.push(rest) : true;
    });
    socket._writeGeneric = (...args) => writes.push(args);
    socket.push = (chunk) => read(chunk) !== false;
    socket.emit = (event, ...args) => {
      if (event !== 'connect' && event !== 'ready') return Reflect.apply(emit, socket, [event, ...args]);
      told.push(event);
      if (event === 'connect') {
        Reflect.apply(write, socket, [false, Buffer.from(question(host, port)), 'buffer', () => {}]);
        socket._read(0); // a reader who came early waits for the event that is held back
      }
      return true;
    };
    return Reflect.apply(connectDirectly, socket, [{ host: proxyHost, port: proxyPort, noDelay: true }]);
  }
}
