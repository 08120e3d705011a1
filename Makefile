# Each target is a script that also runs without make.
.PHONY: demo test check bench report

demo:
	@scripts/demo

test:
	@scripts/test

check:
	@scripts/check

bench:
	@scripts/bench $(PARTS)

report:
	@scripts/report $(RESULTS)
