import "@fontsource-variable/inter/index.css";
import "uplot/dist/uPlot.min.css";
import "./ui/app.css";
import { mount } from "svelte";
import App from "./App.svelte";
import { session } from "./state/session.svelte";

const target = document.getElementById("app");
if (!target) throw new Error("the page has no #app");
session.ui.setTheme(session.ui.theme);
mount(App, { target });
void session.start();
