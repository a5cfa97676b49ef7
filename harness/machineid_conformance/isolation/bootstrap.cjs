'use strict';
// Leads a Node program's connections through the proxy of its world. Node before 24 ignores proxy variables, and http.request,
// https.request and fetch connect by themselves: so the two functions that they all connect by are led, net.connect and
// tls.connect, each by a CONNECT tunnel that is transparent to what runs in it. Loopback connections are led as well: the proxy knows
// which of them are the program's own.
const net = require('net');
const tls = require('tls');
const { Duplex } = require('stream');

const proxy = process.env.HTTPS_PROXY || process.env.https_proxy;
if (proxy) {
  const { hostname, port } = new URL(proxy);
  const proxyPort = Number(port);
  const connectDirectly = net.Socket.prototype.connect;

  net.Socket.prototype.connect = function connect(...given) {
    const args = Array.isArray(given[0]) ? given[0] : given; // node's own callers pass arguments that are normalised already
    let options;
    let listener;
    if (typeof args[0] === 'object' && args[0] !== null) {
      options = args[0];
      listener = args[1];
    } else if (typeof args[0] === 'number' || /^\d+$/.test(String(args[0]))) {
      options = { port: Number(args[0]), host: typeof args[1] === 'string' ? args[1] : 'localhost' };
      listener = args.find((argument) => typeof argument === 'function');
    }
    const port = options && Number(options.port);
    if (!options || options.path || !port || (port === proxyPort && isLoopback(options.host))) {
      return Reflect.apply(connectDirectly, this, given);
    }
    return tunnel(this, options.host || 'localhost', port, listener, given);
  };

  // The handshake with the proxy happens on the same socket, before anybody is told that it is connected: 'connect' is held
  // back, and so is what the caller wrote, until the proxy has answered.
  function tunnel(socket, host, port, listener, given) {
    const emit = socket.emit;
    const write = socket._writeGeneric;
    const waiting = [];
    const held = [];
    let answer = Buffer.alloc(0);
    if (typeof listener === 'function') socket.once('connect', listener);

    socket._writeGeneric = function writeGeneric(...args) { waiting.push(args); };
    socket.emit = function hold(event, ...args) {
      if (event === 'connect') {
        const name = host.includes(':') ? `[${host}]` : host;
        const head = `CONNECT ${name}:${port} HTTP/1.1\r\nHost: ${name}:${port}\r\n\r\n`;
        Reflect.apply(write, socket, [false, Buffer.from(head), 'buffer', () => {}]);
        readAnswer();
        return true;
      }
      if (event === 'ready' || event === 'secureConnect') { held.push([event, args]); return true; }
      return Reflect.apply(emit, socket, [event, ...args]);
    };

    function readAnswer() {
      const push = socket.push;
      socket.push = function take(chunk, encoding) {
        if (chunk === null) { fail(new Error('the proxy closed the connection')); return false; }
        answer = Buffer.concat([answer, Buffer.from(chunk, encoding)]);
        const end = answer.indexOf('\r\n\r\n');
        if (end < 0) return true;
        socket.push = push;
        if (!/^HTTP\/1\.[01] 2/.test(answer.toString('latin1', 0, 16))) {
          fail(refused());
          return false;
        }
        release(answer.subarray(end + 4));
        return true;
      };
      socket.read(0);
    }

    function release(rest) {
      delete socket.emit;
      delete socket.push;
      delete socket._writeGeneric;
      socket.emit('connect');
      for (const [event, args] of held) socket.emit(event, ...args);
      for (const args of waiting) socket._writeGeneric(...args);
      if (rest.length) socket.push(rest);
    }

    function fail(error) {
      delete socket.emit;
      delete socket.push;
      delete socket._writeGeneric;
      socket.destroy(error);
    }

    function refused() {
      const error = new Error(`connect ECONNREFUSED ${host}:${port}`);
      return Object.assign(error, { code: 'ECONNREFUSED', errno: -111, syscall: 'connect', address: host, port });
    }

    const direct = { host: hostname, port: proxyPort };
    return Reflect.apply(connectDirectly, socket, [direct]);
  }
}

function isLoopback(host) {
  return host === undefined || host === 'localhost' || host === '::1' || /^127\./.test(host);
}
