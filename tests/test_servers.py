"""The private servers of the tests do what the tests believe of them."""

from servers import Server


def test_a_server_is_empty_at_the_start_of_each_test(server: Server) -> None:
    assert server.raw.dbsize() == 0
    assert server.raw.function_list() == []
    server.raw.set("left", "over")


def test_a_killed_server_comes_back_with_its_append_only_file() -> None:
    with Server("valkey", aof=True, tcp=True) as server:
        server.raw.set("kept", "yes")
        server.raw.execute_command("WAITAOF", 1, 0, 2000)
        server.restart()
        assert server.raw.get("kept") == b"yes"
        with server.connect(unix_socket_path=None, host="127.0.0.1", port=server.port) as client:
            assert client.ping()
