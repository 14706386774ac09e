// Starts the console.

import { mount } from 'svelte';
import './app.css';
import App from './App.svelte';
import { route } from './lib/router.svelte.ts';
import { begin } from './lib/session.svelte.ts';

route.read();
addEventListener('popstate', () => route.read());
const target = document.getElementById('app');
if (target) mount(App, { target });
void begin();
