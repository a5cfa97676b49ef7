from __future__ import annotations

import asyncio
import socket
import sys

import pytest

from machineid_conformance.gateway.acceptor import Acceptor


@pytest.mark.skipif(sys.platform != "linux", reason="a listener is shut in namespace isolation only, which is Linux")
def test_a_listener_that_is_shut_and_opened_again() -> None:
    async def play() -> None:
        loop = asyncio.get_running_loop()
        accepted: asyncio.Queue[socket.socket] = asyncio.Queue()
        with socket.create_server(("127.0.0.1", 0)) as free:
            address = free.getsockname()
        listener = socket.create_server(address)  # of a port that was asked for, and so is kept while it is shut
        turns = 0

        def count(sock: socket.socket) -> None:
            accepted.put_nowait(sock)

        acceptor = Acceptor([listener], count)
        accept = acceptor.accept

        def counted(which: socket.socket) -> None:
            nonlocal turns
            turns += 1
            accept(which)

        acceptor.accept = counted  # type: ignore[method-assign,assignment]
        acceptor.open()
        try:
            for _ in range(2):
                with socket.create_connection(address, timeout=10):
                    (await accepted.get()).close()
                listener.shutdown(socket.SHUT_RDWR)
                with pytest.raises(ConnectionRefusedError):
                    socket.create_connection(address, timeout=10)
                before = turns
                for _ in range(50):  # a listener that is shut must not keep the loop busy
                    turn = loop.create_future()
                    loop.call_soon(turn.set_result, None)
                    await turn
                assert turns - before <= 2
                listener.listen()
            with socket.create_connection(address, timeout=10):
                (await accepted.get()).close()
        finally:
            acceptor.close()
            listener.close()

    asyncio.run(play())


def test_what_waits_is_accepted_on_demand() -> None:
    async def play() -> None:
        accepted: list[socket.socket] = []
        with socket.create_server(("127.0.0.1", 0)) as listener:
            acceptor = Acceptor([listener], accepted.append)
            acceptor.open()
            clients = [socket.create_connection(listener.getsockname()) for _ in range(5)]
            acceptor.accept_all()
            acceptor.close()
            for sock in (*clients, *accepted):
                sock.close()
        assert len(accepted) == 5

    asyncio.run(play())
