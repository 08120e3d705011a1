"""What a schedule does at its times: policies, the plan of a tick, and the conversations with the server. No I/O here.

Which times these are is ``streamq.schedules``; the server's side is ``lua/67_schedules.lua`` and those behind it.
"""
