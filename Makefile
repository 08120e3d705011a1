# Each target is a script that also runs without make.
.PHONY: demo test check

demo:
	@scripts/demo

test:
	@scripts/test

check:
	@scripts/check
